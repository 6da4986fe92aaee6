"""The one training loop: every network of every detector learns here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from midclass.recipe.budget import Budget
from midclass.training.lesson import LearningImages, Lesson
from midclass.training.loss import precision
from midclass.training.state import STATE, read_state, write_state
from midclass.types import ImageBatch

State: TypeAlias = dict[str, Tensor]
Loss: TypeAlias = Callable[[nn.Module, torch.Generator], Tensor]
"""``(network, generator of this step) -> loss``: makes its own batch."""
Wrong: TypeAlias = Callable[[nn.Module, ImageBatch, torch.Generator], Tensor]
"""``(network, images, generator of this step) -> (n,)``: how wrong the network is on each."""
Validate: TypeAlias = Callable[[nn.Module], float]
Watch: TypeAlias = Callable[[nn.Module], None]


@dataclass
class History:
    """What happened: one entry per checkpoint, with the averaged network's validation figure.

    Attributes:
        step: of the checkpoint.
        loss: moving average of the training loss.
        validation: higher is better.
    """

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    def best(self, clearly: float = 0.0, least: float = -math.inf) -> int:
        """Index of the chosen checkpoint: the last one, unless another is better.

        Args:
            clearly: by how much it must be better. The best of several figures that differ by
                chance would be a draw of lots, and networks that have learned for longer are
                better on average.
            least: figure that another must have, to say anything.
        """
        last = len(self.step) - 1
        best = max(range(len(self.step)), key=lambda i: (self.validation[i], i))
        enough = max(self.validation[last] + clearly, least)
        return best if self.validation[best] > enough else last


def train(
    network: nn.Module,
    loss: Loss,
    validate: Validate,
    budget: Budget,
    lesson: Lesson,
    watch: Watch | None = None,
) -> tuple[History, list[State]]:
    """Train, and return the averaged network's weights at every checkpoint.

    Step ``i`` draws from a generator of its own, made from the seed and ``i``, so that a run that
    was interrupted and goes on from the lesson's workdir ends with the same weights as an unbroken
    one.

    Args:
        network: trained in place.
        loss: makes the batch of one step and says how wrong the network is on it.
        validate: a figure of the averaged network, higher is better; no target label enters.
        budget: steps, learning rate and the like.
        lesson: its seed, workdir (where the state is kept at checkpoints) and progress.
        watch: shown the averaged network after half of the steps and at every checkpoint, and where
            training goes on from one; what it makes of it, ``loss`` may use.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, budget.learning_rate, total_steps=budget.steps
    )
    mean = get_ema_multi_avg_fn(budget.ema)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
    run = _Run(network, averaged, optimizer, schedule)
    done = run.resume(lesson.workdir)
    if done and watch is not None:
        watch(averaged.eval().module)
    running = run.history.loss[-1] if run.history.loss else 0.0
    for step in range(done + 1, budget.steps + 1):
        value = _one_step(run, loss, torch.Generator().manual_seed(lesson.seed * 1_000_003 + step))
        running = value if step == 1 else 0.95 * running + 0.05 * value
        if lesson.progress is not None:
            lesson.progress(step, budget.steps, f"loss {running:.3f}")
        if step in _checkpoints(budget):
            run.keep(step, running, validate, lesson.workdir)
        if watch is not None and step in {budget.steps // 2, *_checkpoints(budget)}:
            watch(averaged.eval().module)
    return run.history, run.states


def with_short_average(budget: Budget) -> Budget:
    """The budget with a moving average of the weights over a tenth of the steps at most.

    What is left in it of the first weights (13 % after 200 steps of ``ema`` .99) hardly moves a
    classifier, but spoils a reconstruction.
    """
    return budget.model_copy(update={"ema": min(budget.ema, max(0.0, 1 - 10 / budget.steps))})


def train_on_given(
    network: nn.Module,
    wrong: Wrong,
    given: LearningImages,
    held_out: LearningImages,
    budget: Budget,
    lesson: Lesson,
    *,
    judged_by: Wrong | None = None,
    exact: bool = False,
) -> dict[str, Any]:
    """Train on given-class images alone, and leave the network with its best weights.

    The checkpoint is the one that is least wrong on held-out given-class images; they are judged
    as they are, with the same random numbers every time.

    Args:
        network: trained in place.
        wrong: how wrong the network is on each image.
        given: images to learn from; they are seen through the nuisance.
        held_out: images of the given class to judge with.
        budget: steps, learning rate and the like; see ``with_short_average``.
        lesson: its seed, workdir and progress, see ``train``.
        judged_by: in place of ``wrong`` for the held-out images.
        exact: compute in float32 throughout, not in bfloat16.

    Returns:
        The history as JSON; its validation figures are minus the mean of ``judged_by``.
    """
    judge = judged_by or wrong
    budget = with_short_average(budget)

    def loss(network: nn.Module, rng: torch.Generator) -> Tensor:
        batch = given.draw_acquired(2 * budget.batch, rng)  # as many as the method looks at
        with nullcontext() if exact else precision(given.device):
            return wrong(network, batch, rng).mean()

    def validate(network: nn.Module) -> float:
        rng = torch.Generator().manual_seed(lesson.seed)
        return -float(held_out.collect(lambda batch: judge(network, batch, rng)).mean())

    history, states = train(network, loss, validate, budget, lesson)
    network.load_state_dict(states[history.best()])
    network.eval()
    return {**vars(history), "best": history.best()}


def _one_step(run: _Run, loss: Loss, rng: torch.Generator) -> float:
    run.network.train()
    value = loss(run.network, rng)
    run.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimizer.step()
    run.schedule.step()
    run.averaged.update_parameters(run.network)
    return float(value.detach())


def _checkpoints(budget: Budget) -> set[int]:
    """The last step and evenly spaced ones in the second half, where the learning rate falls."""
    count = budget.checkpoints
    return {budget.steps - budget.steps * i // (2 * count) for i in range(count)}


@dataclass
class _Run:
    """Everything that an interrupted training needs to go on."""

    network: nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    history: History = field(default_factory=History)
    states: list[State] = field(default_factory=list)

    def keep(self, step: int, loss: float, validate: Validate, workdir: Path | None) -> None:
        """Validate the averaged network and write the state down."""
        self.averaged.eval()
        self.history.step.append(step)
        self.history.loss.append(loss)
        self.history.validation.append(validate(self.averaged.module))
        self.states.append(
            {k: v.detach().clone() for k, v in self.averaged.module.state_dict().items()}
        )
        if workdir is not None:
            state = {
                "parts": [part.state_dict() for part in self._parts()],
                "history": vars(self.history),
                "states": self.states,
            }
            write_state(workdir / STATE, state)

    def resume(self, workdir: Path | None) -> int:
        """Read the state back; the number of steps that are done.

        From a state that is damaged nothing is taken: training starts anew, and it is told.
        """
        if workdir is None or not (workdir / STATE).exists():
            return 0
        before = [deepcopy(part.state_dict()) for part in self._parts()]
        try:
            state = read_state(workdir / STATE)
            for part, saved in zip(self._parts(), state["parts"], strict=True):
                part.load_state_dict(saved)
            history, states = History(**state["history"]), state["states"]
            done = int(history.step[-1])
        except Exception as error:  # whatever a damaged file makes of the reader
            for part, saved in zip(self._parts(), before, strict=True):
                part.load_state_dict(saved)
            why = " ".join(str(error).split())[:80] or type(error).__name__
            warnings.warn(
                f"{workdir / STATE}: the state of the training is damaged, or of another version "
                f"({why}); it starts anew",
                stacklevel=2,
            )
            return 0
        self.history, self.states = history, states
        return done

    def _parts(self) -> tuple[Any, ...]:
        return self.network, self.averaged, self.optimizer, self.schedule
