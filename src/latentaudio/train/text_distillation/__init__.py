"""Data of the text stage: sentences, the teacher's vectors of them, and quantities in them."""
