"""Models for programs without torch: one ONNX file per network, and a description of the rest."""
