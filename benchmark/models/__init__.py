"""Networks around an encoder: intake of images, classifier, U-Net; folding of batch norms for evaluation."""
