"""From an official folder to batches: readers -> index -> splits -> cache -> augmentation -> batches."""

# pixels of one image: four times as many as the largest film here has (Montgomery, 4892 x 4020), and fewer than those from
# which on Pillow warns of a bomb
MAX_PIXELS = 80_000_000
