"""Images with the outlines of what was found in them."""

import cv2
import numpy as np

#: Outlines of the classes in turn, which colour-blind readers can tell apart (Okabe and Ito).
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))


def outlined(original: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The image in colour with an outline around every object.

    Args:
        original: uint8 `(height, width, channels)`.
        classes: The class of every pixel; 0 is the background.

    Returns:
        uint8 `(height, width, 3)`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.outlines import outlined
        >>> outlined(np.zeros((4, 4, 1), "uint8"), np.ones((4, 4), "uint8")).shape
        (4, 4, 3)
    """
    drawn = np.repeat(original, 4 - original.shape[2], axis=2)[:, :, :3].copy()
    thickness = max(1, round(max(drawn.shape) / 400))
    for index in np.unique(classes[classes > 0]):
        mask = (classes == index).astype("uint8")
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, COLOURS[(index - 1) % len(COLOURS)], thickness)
    return drawn
