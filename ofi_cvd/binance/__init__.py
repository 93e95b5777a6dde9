"""The only room that knows the venue's letters: stream names, endpoints, frames, REST."""
