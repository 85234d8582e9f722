"""Audio: files, tags, mel front ends, operations on samples, post-processing."""
