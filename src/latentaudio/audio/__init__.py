"""Sound in and out: mel front ends, files, small operations. Knows nothing of networks."""
