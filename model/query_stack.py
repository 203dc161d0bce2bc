"""PanGu-alpha's stack (Zeng et al. 2021): the last layer comes after the norm, and its queries are a table of positions.

This layer, `query_block`, follows the scan over the other L - 1 layers; its keys and values are projections of the normalized stream.
"""
import jax

from model import layers, stack


class QueryStack(stack.Stack):
    """A Stack whose last layer reads its queries from the table `queries`."""

    def setup(self):
        super().setup()
        config = self.config
        self.queries = layers.Embed(config, config.max_length, config.dim)
        self.query_block = stack.remat(config)(config, self.role, self.dtype)

    def scanned(self) -> int:
        return super().scanned() - 1

    def run(self, carry, each, shared, fields):
        carry, _ = super().run(carry, jax.tree.map(lambda leaf: leaf[:-1], each), shared, fields)
        last = jax.tree.map(lambda leaf: leaf[-1], each)
        return self.query_block(carry, last, shared, self.queries(fields['positions']).astype(self.dtype))
