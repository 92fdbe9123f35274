"""PPO with a vector critic."""
