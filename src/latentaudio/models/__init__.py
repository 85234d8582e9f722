"""Networks: tensors in, tensors out, without files, printing or names of published models."""
