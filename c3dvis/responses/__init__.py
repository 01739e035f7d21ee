"""What real clips do to a network: feature maps, kernels, the strongest clips.

Names are imported on first use, so that the command's help and errors need no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.responses.alarms import PathSimilarity, path_similarity
    from c3dvis.responses.cards import MotionCard, motion_cards
    from c3dvis.responses.convolution import convolve, random_kernel
    from c3dvis.responses.dependence import MotionDependence, motion_dependence
    from c3dvis.responses.description import Description, describe
    from c3dvis.responses.factors import Factors, appearance_and_motion
    from c3dvis.responses.film_windows import FilmResponses, film_responses
    from c3dvis.responses.interpretability import VideoMIS, video_mis
    from c3dvis.responses.layer_kernels import kernels, kernels_of_clip
    from c3dvis.responses.maps import FeatureMaps, feature_maps, still
    from c3dvis.responses.ranked_clips import UnitClip, UnitClips, unit_clips
    from c3dvis.responses.similarity import FeatureSpace, clip_features, similarities
    from c3dvis.responses.sweep_result import LayerResponses, RankedClip, Sweep
    from c3dvis.responses.sweeps import sweep
    from c3dvis.responses.tuning import MotionTuning, motion_tuning
    from c3dvis.responses.unit_responses import UnitResponses

__all__ = [
    "Description",
    "Factors",
    "FeatureSpace",
    "FeatureMaps",
    "FilmResponses",
    "LayerResponses",
    "MotionCard",
    "MotionDependence",
    "MotionTuning",
    "PathSimilarity",
    "RankedClip",
    "Sweep",
    "UnitResponses",
    "VideoMIS",
    "UnitClip",
    "UnitClips",
    "appearance_and_motion",
    "clip_features",
    "convolve",
    "describe",
    "feature_maps",
    "film_responses",
    "kernels",
    "kernels_of_clip",
    "motion_cards",
    "motion_dependence",
    "motion_tuning",
    "path_similarity",
    "random_kernel",
    "similarities",
    "still",
    "sweep",
    "video_mis",
    "unit_clips",
]

_FILES = {
    "Description": "description",
    "describe": "description",
    "PathSimilarity": "alarms",
    "path_similarity": "alarms",
    "FeatureMaps": "maps",
    "convolve": "convolution",
    "feature_maps": "maps",
    "FilmResponses": "film_windows",
    "film_responses": "film_windows",
    "kernels": "layer_kernels",
    "kernels_of_clip": "layer_kernels",
    "random_kernel": "convolution",
    "LayerResponses": "sweep_result",
    "RankedClip": "sweep_result",
    "Sweep": "sweep_result",
    "Factors": "factors",
    "appearance_and_motion": "factors",
    "MotionDependence": "dependence",
    "motion_dependence": "dependence",
    "MotionTuning": "tuning",
    "motion_tuning": "tuning",
    "VideoMIS": "interpretability",
    "video_mis": "interpretability",
    "FeatureSpace": "similarity",
    "UnitResponses": "unit_responses",
    "clip_features": "similarity",
    "similarities": "similarity",
    "still": "maps",
    "sweep": "sweeps",
    "UnitClip": "ranked_clips",
    "UnitClips": "ranked_clips",
    "unit_clips": "ranked_clips",
    "MotionCard": "cards",
    "motion_cards": "cards",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
