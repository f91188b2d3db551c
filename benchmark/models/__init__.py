"""Networks around an encoder: normalization of images, classifier, U-Net; folding of batch norms for evaluation."""
