"""The first paper's pipeline, written anew and plainly from its text and public code: what `throughput.py` compares with.

Each image is decoded in each epoch, by the worker processes of a DataLoader, and augmented by torchvision (U-Net:
resized by nearest neighbour and augmented by albumentations); fp32, NCHW, the loss read at each step. Nothing of
`benchmark` is imported here.

Departs: for ten-crop tests a pass on a CPU takes 8 images (80 crops), not 32, so that a measurement takes seconds;
albumentations 2 has no `alpha_affine` and `shift_limit`; for U-Nets of other sides than 224 the augmentation's lengths
grow in proportion.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import pydicom
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TenCropped:
    """Ten crops of an image, each a normalised tensor: 10 x 3 x 224 x 224."""

    def __init__(self) -> None:
        self.crops = transforms.TenCrop(224)
        self.finish = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __call__(self, image: Image.Image) -> torch.Tensor:
        return torch.stack([self.finish(crop) for crop in self.crops(image)])


def classification_transform(phase: str) -> transforms.Compose:
    """What an image goes through in a phase."""
    finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if phase == "train":
        cut = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.RandomRotation(7)]
        return transforms.Compose([*cut, *finish])
    if phase == "validation":
        return transforms.Compose([transforms.Resize((256, 256)), transforms.CenterCrop(224), *finish])
    return transforms.Compose([transforms.Resize((256, 256)), TenCropped()])


class Radiographs(Dataset):
    """PNGs and their labels: (path, labels) pairs, gone through again and again up to `num` images."""

    def __init__(self, listed: list[tuple[str, list[float]]], num: int, phase: str) -> None:
        self.listed, self.num = listed, num
        self.transform = classification_transform(phase)

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        path, labels = self.listed[number % len(self.listed)]
        image = Image.open(path).convert("RGB")
        return self.transform(image), torch.FloatTensor(labels)


class Pneumothoraces(Dataset):
    """DICOMs and their masks as PNGs: (path, path) pairs, gone through again and again up to `num` images."""

    def __init__(self, listed: list[tuple[str, str]], num: int, size: int) -> None:
        self.listed, self.num, self.size = listed, num, size
        self.augmentation = segmentation_augmentation(size)

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        path, mask_path = self.listed[number % len(self.listed)]
        square = (self.size, self.size)
        image = np.array(pydicom.dcmread(path).pixel_array)
        image = cv2.resize(image, square, interpolation=cv2.INTER_NEAREST).astype("uint8")
        image = np.repeat(image[..., None], 3, 2)
        mask = np.array(Image.open(mask_path).convert("L")).astype("uint8")
        mask = cv2.resize(mask, square, interpolation=cv2.INTER_NEAREST)
        mask[mask > 0] = 255
        augmented = self.augmentation(image=image, mask=mask)
        image, mask = augmented["image"] / 255.0, augmented["mask"] / 255.0
        image = (image - MEAN) / STD
        return image.transpose(2, 0, 1).astype("float32"), np.expand_dims(mask, axis=0)


def segmentation_augmentation(size: int) -> Any:
    """The paper's augmentation of X-ray segmentation."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the package index for a newer version
    import albumentations as A  # noqa: N812 - its own documentation's name

    grown = size / 224
    return A.Compose(
        [
            A.OneOf([A.RandomBrightnessContrast(), A.RandomGamma()], p=0.3),
            A.OneOf(
                [
                    A.ElasticTransform(alpha=120 * grown, sigma=6 * grown),
                    A.GridDistortion(),
                    A.OpticalDistortion(distort_limit=2),
                ],
                p=0.3,
            ),
            A.RandomSizedCrop(min_max_height=(round(156 * grown), size), size=(size, size), p=0.25),
            A.ToFloat(max_value=1),
        ]
    )


def classifier(num_labels: int) -> nn.Module:
    """ResNet-50 of torchvision with sigmoid outputs."""
    model = models.resnet50(weights=None)
    model.fc = nn.Sequential(nn.Linear(model.fc.in_features, num_labels), nn.Sigmoid())
    return model


def unet() -> nn.Module:
    """segmentation_models_pytorch's U-Net around ResNet-50, sigmoid outputs."""
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet50", encoder_weights=None, activation="sigmoid")


def dice_loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One minus the smoothed soft Dice of the whole batch."""
    overlap = (predicted.flatten() * target.flatten()).sum()
    return 1.0 - (2.0 * overlap + 1.0) / (target.sum() + predicted.sum() + 1.0)


class Pipeline:
    """A phase of it: model, loss, optimiser and images; `run` is one pass over batches that `loader` gives."""

    def __init__(self, phase: str, listed: list[Any], size: int, device: torch.device) -> None:
        segmentation = phase.startswith("unet")
        torch.backends.cudnn.benchmark = True
        self.phase, self.listed, self.size, self.device = phase, listed, size, device
        self.model = (unet() if segmentation else classifier(len(listed[0][1]))).to(device)
        self.loss: Loss = dice_loss if segmentation else nn.BCELoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3 if segmentation else 2e-4)

    def loader(self, *, num: int, batch: int, workers: int) -> DataLoader:
        """Batches of `num` images in all."""
        segmentation = self.phase.startswith("unet")
        images = (
            Pneumothoraces(self.listed, num, self.size) if segmentation else Radiographs(self.listed, num, self.phase)
        )
        return DataLoader(
            images,
            batch_size=batch,
            shuffle=self.phase not in ("validation", "test"),
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
        )

    def run(self, batches: Iterable[Any]) -> None:
        """One pass over the batches."""
        {"validation": self._validate, "test": self._test}.get(self.phase, self._train)(batches)

    def _train(self, batches: Iterable[Any]) -> None:
        self.model.train()
        for batch in batches:
            images, targets = self._on_device(batch)
            loss = self.loss(self.model(images), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()

    def _validate(self, batches: Iterable[Any]) -> None:
        self.model.eval()
        with torch.no_grad():
            for batch in batches:
                images, targets = self._on_device(batch)
                self.loss(self.model(images), targets).item()

    def _test(self, batches: Iterable[Any]) -> None:
        self.model.eval()
        probability, truth = torch.FloatTensor().to(self.device), torch.FloatTensor().to(self.device)
        with torch.no_grad():
            for images, targets in batches:
                truth = torch.cat((truth, targets.to(self.device)), 0)
                num, crops, channels, height, width = images.size()
                outputs = self.model(images.view(-1, channels, height, width).to(self.device))
                probability = torch.cat((probability, outputs.view(num, crops, -1).mean(1)), 0)

    def _on_device(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = batch
        return images.float().to(self.device), targets.float().to(self.device)
