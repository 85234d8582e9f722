"""A table {original name: (shape, {our name: cut})} of tests/layouts.py, and its cuts."""


def unchanged(t):
    return t


def squeeze_conv2d(t):
    """A 1x1 convolution over a plane as a matrix."""
    return t[:, :, 0, 0]


def squeeze_conv1d(t):
    """A 1x1 convolution over a row as a matrix."""
    return t[:, :, 0]


class Table(dict):
    """Filled by pairs of their and our prefix."""

    def put(self, original, ours, *shape, cut=unchanged):
        assert original not in self, original
        self[original] = (shape, {ours: cut})

    def layer(self, original, ours, *shape, bias=0, cut=unchanged):
        """Add a weight and its bias, of the size of axis `bias` of the weight; None: no bias."""
        self.put(f"{original}.weight", f"{ours}.weight", *shape, cut=cut)
        if bias is not None:
            self.put(f"{original}.bias", f"{ours}.bias", shape[bias])
