"""I3D in plain TensorFlow, from the paper and the names of the published variables alone."""

import numpy as np
import tensorflow as tf

# Endpoints and their channels, as published; shapes (T, H, W) for 64 frames of 224 x 224.
ENDPOINTS = {
    "Conv3d_1a_7x7": (32, 112, 112, 64),
    "MaxPool3d_2a_3x3": (32, 56, 56, 64),
    "Conv3d_2b_1x1": (32, 56, 56, 64),
    "Conv3d_2c_3x3": (32, 56, 56, 192),
    "MaxPool3d_3a_3x3": (32, 28, 28, 192),
    "Mixed_3b": (32, 28, 28, 256),
    "Mixed_3c": (32, 28, 28, 480),
    "MaxPool3d_4a_3x3": (16, 14, 14, 480),
    "Mixed_4b": (16, 14, 14, 512),
    "Mixed_4c": (16, 14, 14, 512),
    "Mixed_4d": (16, 14, 14, 512),
    "Mixed_4e": (16, 14, 14, 528),
    "Mixed_4f": (16, 14, 14, 832),
    "MaxPool3d_5a_2x2": (8, 7, 7, 832),
    "Mixed_5b": (8, 7, 7, 832),
    "Mixed_5c": (8, 7, 7, 1024),
    "Logits": (400,),
    "Predictions": (400,),
}


def reference(
    arrays: dict[str, np.ndarray], x: np.ndarray, temporal_strides=(2, 2, 2)
) -> dict[str, np.ndarray]:
    """Every endpoint, for input in [-1, 1]."""

    def unit(x, name, stride=(1, 1, 1)):
        x = tf.nn.conv3d(x, arrays[f"{name}/conv_3d/w"], [1, *stride, 1], "SAME")
        mean, variance = (arrays[f"{name}/batch_norm/moving_{of}"] for of in ("mean", "variance"))
        return tf.nn.relu((x - mean) / np.sqrt(variance + 1e-3) + arrays[f"{name}/batch_norm/beta"])

    def pool(x, window, stride):
        return tf.nn.max_pool3d(x, [1, *window, 1], [1, *stride, 1], "SAME")

    def mixed(x, name):
        last = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"
        pooled = pool(x, (3, 3, 3), (1, 1, 1))
        first = unit(x, f"{name}/Branch_0/Conv3d_0a_1x1")
        second = unit(x, f"{name}/Branch_1/Conv3d_0a_1x1")
        second = unit(second, f"{name}/Branch_1/Conv3d_0b_3x3")
        third = unit(unit(x, f"{name}/Branch_2/Conv3d_0a_1x1"), f"{name}/Branch_2/{last}")
        fourth = unit(pooled, f"{name}/Branch_3/Conv3d_0b_1x1")
        return tf.concat([first, second, third, fourth], axis=4)

    t1, t4, t5 = temporal_strides
    steps = {
        "Conv3d_1a_7x7": lambda x: unit(x, "Conv3d_1a_7x7", (t1, 2, 2)),
        "MaxPool3d_2a_3x3": lambda x: pool(x, (1, 3, 3), (1, 2, 2)),
        "Conv3d_2b_1x1": lambda x: unit(x, "Conv3d_2b_1x1"),
        "Conv3d_2c_3x3": lambda x: unit(x, "Conv3d_2c_3x3"),
        "MaxPool3d_3a_3x3": lambda x: pool(x, (1, 3, 3), (1, 2, 2)),
        "MaxPool3d_4a_3x3": lambda x: pool(x, (3, 3, 3), (t4, 2, 2)),
        "MaxPool3d_5a_2x2": lambda x: pool(x, (2, 2, 2), (t5, 2, 2)),
    }
    ends = {}
    for name in list(ENDPOINTS)[:-2]:
        x = steps[name](x) if name in steps else mixed(x, name)
        ends[name] = x
    _, frames, rows, columns, _ = x.shape
    x = tf.nn.avg_pool3d(x, [1, min(2, frames), rows, columns, 1], [1] * 5, "VALID")
    x = tf.nn.conv3d(x, arrays["Logits/Conv3d_0c_1x1/conv_3d/w"], [1] * 5, "VALID")
    x = tf.squeeze(x + arrays["Logits/Conv3d_0c_1x1/conv_3d/b"], [2, 3])
    ends["Logits"] = tf.reduce_mean(x, axis=1)
    ends["Predictions"] = tf.nn.softmax(ends["Logits"])
    return {name: end.numpy() for name, end in ends.items()}


def relative_error(ours, expected) -> float:
    ours, expected = np.float64(ours), np.float64(expected)
    assert ours.shape == expected.shape
    return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))
