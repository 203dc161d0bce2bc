"""The loss of a run as its reader knows it: each of several terms with its factor, and the perplexity of what it predicts."""
import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Terms:
    """scales: {term: its factor in the loss}; tokens: the term that is a cross-entropy of tokens, None if none is."""
    scales: dict = dataclasses.field(default_factory=dict)
    tokens: str | None = None

    def equation(self, line: dict[str, float], split: str) -> str:
        """'generator 6.70 + 50 × discriminator 0.69' of a metrics line; '' for a loss of one term. split: train or eval."""
        values = {name: line.get(f'{split}/{name}') for name in self.scales} if len(self.scales) > 1 else {}
        shown = [f'{self.scales[name]:g} × ' * (self.scales[name] != 1) + f'{name} {value:.4f}' for name, value in values.items()
                 if isinstance(value, (int, float))]
        return ' + '.join(shown)

    def perplexity(self, line: dict[str, float], split: str) -> float | None:
        """exp of the plain cross-entropy of tokens in a metrics line, if it is there."""
        prefix = f'{self.tokens}_' if len(self.scales) > 1 else ''
        term = f'{split}/{self.tokens}' if len(self.scales) > 1 else f'{split}/loss'
        found = line.get(f'{split}/{prefix}nll', line.get(term)) if self.tokens else None
        return math.exp(min(found, 700)) if isinstance(found, (int, float)) else None
