"""Line charts as inline SVG: ticks at round numbers, one colour a series, thinned by extremes so that spikes stay visible."""
import math

PALETTE = ('#2563eb', '#d97706', '#059669', '#db2777', '#7c3aed', '#0891b2', '#65a30d', '#dc2626')
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 240, 62, 12, 10, 30
POINTS = 400                                  # buckets across; each keeps its lowest and highest point


def colour(number: int) -> str:
    """The colour of curve `number`, from 0; no two are the same."""
    if number < len(PALETTE):
        return PALETTE[number]
    return f'hsl({number * 137.508 % 360:.1f} {(45, 65, 85)[number % 3]}% {(35, 50, 62)[number // 3 % 3]}%)'  # 137.508: the golden angle


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 x 10^n) from low to high, about `count` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value: float) -> str:
    """The text of a tick: 0.001, 12.5, 1.2M."""
    for size, unit in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if abs(value) >= size:
            return f'{value / size:.4g}{unit}'
    return f'{value:.4g}'


def thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 2 x POINTS of the points, in order: the extremes of each bucket."""
    if len(points) <= 2 * POINTS:
        return points
    kept, size = [], len(points) / POINTS
    for i in range(POINTS):
        bucket = points[int(i * size):int((i + 1) * size)]
        kept += sorted({min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1])})
    return kept


def chart(series: dict[str, list[tuple[float, float | None]]], styles: dict[str, tuple[str, bool]] | None = None) -> str:
    """SVG text of {name: [(x, y), ...]}; missing, non-finite and absurd values are left out. Empty string without a point.

    styles: {name: (colour, dashed)}; None = a colour a name.
    """
    styles = styles or {name: (colour(i), False) for i, name in enumerate(series)}
    clean = {name: [(x, y) for x, y in points if y is not None and abs(y) < 1e100] for name, points in series.items()}
    every = [point for points in clean.values() for point in points]
    if not every:
        return ''
    (x0, x1), (y0, y1) = ((min(axis), max(axis)) for axis in zip(*every))
    x1, margin = max(x1, x0 + 1), (y1 - y0) * 0.05 or abs(y1) * 0.05 or 1
    y0, y1 = (0 if 0 <= y0 <= margin else y0 - margin), y1 + margin

    def at(x, y):
        return (LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT), TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for y in ticks(y0, y1):
        py = at(x0, y)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}"/>'
                     f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{label(y)}</text>')
    parts += [f'<text x="{at(x, y0)[0]:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{label(x)}</text>' for x in ticks(x0, x1, 6)]
    for name, points in clean.items():
        (shade, dashed), placed = styles[name], [at(x, y) for x, y in thin(points)]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in placed)
        dashes = ' stroke-dasharray="6 4"' * dashed
        parts.append(f'<polyline fill="none" stroke="{shade}" stroke-width="1.6"{dashes} points="{path}"/>')
        if len(placed) <= 40:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{shade}"/>' for x, y in placed]
    return ''.join(parts) + '</svg>'
