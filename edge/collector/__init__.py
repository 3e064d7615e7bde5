"""A small receiver for upstreams of kind ``http``: each frame once, whatever is sent again."""
