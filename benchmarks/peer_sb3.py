"""Stable-Baselines3's PPO in the closed-form market, for benchmarks.learner_speed; runs in an environment of its own.

Its default network (two towers of 64 and 64 with tanh) and its own rollout buffer and update. Lanes, steps a round,
passes and minibatches are those of the learner beside it, and so is the schedule; rewards are normalised by its own
VecNormalize, as is usual for returns of this size.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
import stable_baselines3  # noqa: E402
import torch  # noqa: E402
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv, VecNormalize  # noqa: E402

from tests.reference.market_making_dp import value_of  # noqa: E402
from tidewright.agents.executor.environment import Spaces  # noqa: E402
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment, ClosedFormMarket  # noqa: E402
from tidewright.agents.executor.policy import Network, Policy  # noqa: E402

MARKET = ClosedFormMarket()


class Lanes(VecEnv):
    """The closed-form market as SB3 wants it, without loops over lanes."""

    def __init__(self, lanes: int) -> None:
        box = gymnasium.spaces.Box
        super().__init__(lanes, box(-1.0, 1.0, (2,), np.float32), box(-1.0, 1.0, (2,), np.float32))
        self.market = ClosedFormEnvironment(lanes)
        self._seed = 0
        self._nothing = np.zeros((lanes, 0), np.int64)
        self._quiet: list[dict[str, Any]] = [{} for _ in range(lanes)]

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed or 0
        return [seed] * self.num_envs

    def reset(self) -> np.ndarray:
        return self.market.reset(self._seed)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        step = self.market.step(self._actions, self._nothing)
        infos = self._quiet
        if step.terminated[0]:
            infos = [{"terminal_observation": row} for row in step.last]
        return step.observation, step.reward, step.terminated, infos

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return []

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Judge(BaseCallback):
    """Computes every few rounds what the actor is worth, and stops where that is enough; not part of the time."""

    def __init__(self, every: int, target: float) -> None:
        super().__init__()
        self.every, self.target, self.path = every, target, []
        self.rounds = -1

    def _on_training_start(self) -> None:
        self._began, self._cpu, self._lost, self._lost_cpu = time.perf_counter(), time.process_time(), 0.0, 0.0

    def _on_rollout_start(self) -> None:
        """A round ends where the next rollout begins."""
        self.rounds += 1
        if self.rounds and self.rounds % self.every == 0:
            self.look()

    def _on_step(self) -> bool:
        return not self.path or self.path[-1]["value"] < self.target

    def look(self) -> None:
        now, cpu = time.perf_counter(), time.process_time()
        layers = [*self.model.policy.mlp_extractor.policy_net, self.model.policy.action_net]
        linear = [one for one in layers if isinstance(one, torch.nn.Linear)]
        network = Network(
            tuple(one.weight.detach().numpy() for one in linear), tuple(one.bias.detach().numpy() for one in linear)
        )
        policy = Policy(Spaces(2, 2, ()), (network,), activation="tanh")
        self.path.append(
            {
                "rounds": self.rounds,
                "seconds": now - self._began - self._lost,
                "cpu_seconds": cpu - self._cpu - self._lost_cpu,
                "value": value_of(MARKET, lambda held, at: MARKET.distances(policy.act(MARKET.observe(held, at))[0])),
            }
        )
        self._lost += time.perf_counter() - now
        self._lost_cpu += time.process_time() - cpu


def main() -> None:
    """Train as the specification's file says."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    os.sched_setaffinity(0, set(spec["cores"]))
    torch.set_num_threads(1)
    lanes, horizon, rounds = spec["lanes"], spec["horizon"], spec["rounds"]
    environment = VecNormalize(Lanes(lanes), norm_obs=False, norm_reward=True, gamma=spec["discount"], clip_reward=1e9)
    rate = spec["learning_rate"]
    agent = PPO(
        "MlpPolicy",
        environment,
        learning_rate=lambda left: rate * left,
        n_steps=horizon,
        batch_size=spec["minibatch"],
        n_epochs=spec["epochs"],
        gamma=spec["discount"],
        gae_lambda=spec["smoothing"],
        clip_range=spec["clip"],
        ent_coef=0.0,
        vf_coef=spec["value_weight"],
        max_grad_norm=spec["max_norm"],
        policy_kwargs={"log_std_init": spec["log_deviation"]},
        seed=spec["seed"],
        device="cpu",
    )
    judge = Judge(spec["every"], spec["target"])
    agent.learn(lanes * horizon * rounds, callback=judge)
    if judge.path[-1]["value"] < spec["target"]:
        judge.rounds = rounds
        judge.look()
    versions = {"stable-baselines3": stable_baselines3.__version__, "torch": torch.__version__, "numpy": np.__version__}
    sys.stdout.write(json.dumps({"path": judge.path, "versions": versions}) + "\n")


if __name__ == "__main__":
    main()
