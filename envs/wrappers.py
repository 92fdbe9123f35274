"""Import path of version 0.1.0 for :mod:`morl.envs.gymnasium.wrappers`, where the wrappers are."""

from morl.envs.gymnasium.wrappers import (
    LinearReward,
    MOClipReward,
    MONormalizeReward,
    MORecordEpisodeStatistics,
    VectorRewardFromInfo,
)

__all__ = ["LinearReward", "MOClipReward", "MONormalizeReward", "MORecordEpisodeStatistics", "VectorRewardFromInfo"]
