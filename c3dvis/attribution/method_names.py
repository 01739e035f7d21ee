"""Finds methods by the names in papers and other packages."""

from __future__ import annotations

import re

from c3dvis.attribution import methods
from c3dvis.text import unknown

# Other names of the same method, in letters and digits only.
_SAME = {
    "ig": "integrated_gradients",
    "vanillagradient": "gradient",
    "vanillagradients": "gradient",
    "gradients": "gradient",
    "inputxgradient": "gradient_x_input",
    "gradientinput": "gradient_x_input",
    "gradientsinputs": "gradient_x_input",
    "guidedbackprop": "guided_backpropagation",
    "occlusionsensitivity": "occlusion",
    "rollout": "attention_rollout",
    "attnlrp": "attention_lrp",
}
_BASELINES = "'integrated_gradients', with baseline= a clip or the name of one"
_ONE_BY_ONE = "'occlusion' or 'rise', which hide parts of the clip"
_OF_A_LAYER = "'grad_cam', 'layer_cam' or 'score_cam'"
_REGIONS = "'extremal_3d', 'extremal_2d' (frame by frame) or 'step' (one solid tube)"
_FRAMES = "'window', 'freeze' or 'reverse', which find the frames that decide"
# The nearest method here to methods of other packages.
_NEAREST = {
    "saliency": "'gradient' with magnitude=True",
    "saliencymap": "'gradient' with magnitude=True",
    "vargrad": "'smooth_grad' with kind='variance'",
    "smoothgradsquared": "'smooth_grad' with kind='squared'",
    "noisetunnel": "'smooth_grad'",
    "guidedgradcam": "'grad_cam' and 'guided_backpropagation', whose heatmaps it multiplies",
    "deconvolution": "'guided_backpropagation'",
    "deconvnet": "'guided_backpropagation'",
    "lrp": "'gradient_x_input' or, of transformers, 'attention_lrp'",
    "xrai": "'integrated_gradients' and then smoothed()",
    "blurig": "'integrated_gradients' with baseline='blur'",
    "deeplift": _BASELINES,
    "deepliftshap": _BASELINES,
    "deepshap": _BASELINES,
    "gradientshap": _BASELINES,
    "expectedgradients": _BASELINES,
    "shap": _ONE_BY_ONE,
    "kernelshap": _ONE_BY_ONE,
    "shapley": _ONE_BY_ONE,
    "lime": _ONE_BY_ONE,
    "featureablation": _ONE_BY_ONE,
    "cam": _OF_A_LAYER,
    "layergradcam": _OF_A_LAYER,
    "xgradcam": _OF_A_LAYER,
    "hirescam": _OF_A_LAYER,
    "eigencam": _OF_A_LAYER,
    "ablationcam": _OF_A_LAYER,
    "fasterscorecam": "'score_cam' with channels= the number of those that vary most",
    "extremalperturbation": _REGIONS,
    "extremalperturbations": _REGIONS,
    "meaningfulperturbation": _REGIONS,
    "temporalmask": _FRAMES,
    "frames": _FRAMES,
    "activations": "c3dvis.responses.feature_maps, which is not an attribution",
    "extractactivations": "c3dvis.responses.feature_maps, which is not an attribution",
}


def method_name(given: str) -> str:
    """The method's own name, however it is spelled: "GradCAM", "grad-cam++", "ig".

    Raises:
        ValueError: An unknown name; the message names the nearest method for many of them.

    Example:
        >>> method_name("GradCAM"), method_name("ig"), method_name("Grad-CAM++")
        ('grad_cam', 'integrated_gradients', 'grad_cam_plus_plus')
        >>> method_name("saliency")
        Traceback (most recent call last):
        ValueError: Expected the name of a method; use 'gradient' with magnitude=True. Received...
    """
    known = methods.names()
    if isinstance(given, str) and given in known:
        return given
    spelled = {_spelled(name): name for name in known} | _SAME
    if isinstance(given, str) and _spelled(given) in spelled:
        return spelled[_spelled(given)]
    meant = _NEAREST.get(_spelled(str(given)))
    near = str(given).lower().replace("-", "_").replace(" ", "_")
    raise unknown("the name of a method", given, known, meant=meant, spelled=near)


def _spelled(name: str) -> str:
    """A name's letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("++", "plusplus").replace("*", "x"))
