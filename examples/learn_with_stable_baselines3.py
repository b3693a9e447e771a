"""Train Stable-Baselines3's PPO on Tidewright's tape environment: any learner that speaks Gymnasium can take our seat.

pip install 'tidewright[learn,learners]', then python examples/learn_with_stable_baselines3.py [STEPS]
"""

import sys

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from tidewright.agents.executor.environment_gym import TapeEnv
from tidewright.agents.executor.environment_tape import TapeSettings
from tidewright.market.synthetic import synthesize


def main(steps: int = 20_000, hours: float = 3.0, lanes: int = 4) -> float:
    """Mean reward a cycle of the trained agent over one episode; actions are one box in [-1, 1]."""
    tape = synthesize(None, hours=hours)
    settings = TapeSettings(decisions=120)
    many = DummyVecEnv([lambda k=k: TapeEnv([tape], settings, seed=k) for k in range(lanes)])
    agent = PPO("MlpPolicy", many, n_steps=min(256, steps // lanes), device="cpu")
    agent.learn(steps)
    environment = TapeEnv([tape], settings, seed=99)
    seen, _ = environment.reset(seed=99)
    total, count, ended = 0.0, 0, False
    while not ended:
        action, _ = agent.predict(seen, deterministic=True)
        seen, reward, terminated, truncated, _ = environment.step(action)
        total, count, ended = total + reward, count + 1, terminated or truncated
    return total / count


if __name__ == "__main__":
    reward = main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    sys.stdout.write(f"reward a cycle: {reward:+.3f}\n")
