"""The server: a scheduler of sampling steps, jobs, HTTP, and the interfaces of other products."""
