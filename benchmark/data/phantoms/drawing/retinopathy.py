"""Phantom fundus photographs of diabetic eyes."""

import numpy as np

from benchmark.data.image_files import Pixels
from benchmark.data.phantoms.drawing.retina import fundus

# the fewest and the most lesions of each grade; no two grades' numbers of dark ones meet
DARK = ((0, 0), (3, 5), (8, 12), (18, 24), (30, 40))
BRIGHT = ((0, 0), (0, 0), (3, 5), (7, 10), (12, 16))


def retinopathy(rng: np.random.Generator, height: int, width: int, grade: int) -> Pixels:
    """Returns a phantom fundus with the lesions of a grade of retinopathy, 0 to 4 (uint8, height x width x 3): the
    higher the grade, the more dark dots and blots (hemorrhages) and bright spots (exudates).
    """
    image = fundus(rng, height, width).pixels.astype(np.float32)
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for (fewest, most), color in ((DARK[grade], (70, 15, 10)), (BRIGHT[grade], (255, 240, 150))):
        for _ in range(int(rng.integers(fewest, most + 1))):
            away, angle = 0.42 * side * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            px, py = width / 2 + away * np.cos(angle), height / 2 + away * np.sin(angle)
            radius = max(1.0, side * rng.uniform(0.01, 0.025))
            stretch = rng.uniform(0.7, 1.4)
            distance = np.hypot((x - px) * stretch, (y - py) / stretch) / radius
            cover = (rng.uniform(0.6, 1) * np.clip(1.5 - distance, 0, 1))[..., None]
            image += cover * (np.array(color, np.float32) - image)
    return np.asarray(image.clip(0, 255).round().astype(np.uint8))
