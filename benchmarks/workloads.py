"""What is timed: one loss and all its gradients, of LSTM → Dense with mean squared error."""

from dataclasses import dataclass

import numpy as np

from reference_impl import LSTM, Dense, Sequential
from reference_impl.recurrence import ROWS
from reference_impl.spec import Array, Arrays


@dataclass(frozen=True)
class Workload:
    """The sizes of one pass. Everybody is given the same arrays."""

    B: int
    T: int
    D: int
    H: int
    K: int
    dtype: str

    def __str__(self) -> str:
        return f"({self.B}, {self.T}, {self.D}, {self.H}, {self.K}) {self.dtype}"

    @property
    def model(self) -> Sequential:
        return Sequential([LSTM(self.H, return_sequences=True), Dense(self.K)])

    def arrays(self) -> tuple[Arrays, Array, Array]:
        """Weights by tensor name, x (B, T, D) and y (B, T, K), always the same."""
        rng = np.random.default_rng(0)
        shape = self.B, self.T, self.D
        weights = self.model.init(rng, shape, self.dtype)
        x = rng.standard_normal(shape).astype(self.dtype)
        y = rng.standard_normal((self.B, self.T, self.K)).astype(self.dtype)
        return weights, x, y

    @property
    def product_flops(self) -> int:
        """Operations of the pass's matrix products: those of the forward pass, and twice as many back."""
        return 2 * 3 * self.B * self.T * (4 * self.H * (self.D + self.H) + self.H * self.K)

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """Sizes of the pass's products (m, k) @ (k, n), one by one as `reference_impl/recurrence.py` asks for
        them: z and dh of each step, dW and dx of some ROWS rows at once, and the head's three.
        """
        B, T, D, H, K = self.B, self.T, self.D, self.H, self.K
        steps = -(-T // -(-T * B // ROWS))
        rows = [min(steps, T - start) * B for start in range(0, T, steps)]
        found = [(4 * H, H + D + 1, B)] * T + [(H, 4 * H, B)] * T
        found += [(H + D + 1, n, 4 * H) for n in rows] + [(D, 4 * H, n) for n in rows]
        return [*found, (T * B, H, K), (K, T * B, H), (H, K, T * B)]


SIZES = ((4, 3, 2, 8, 1), (32, 50, 64, 128, 10), (64, 100, 256, 512, 10))
DTYPES = ("float32", "float64")
WORKLOADS = [Workload(*sizes, dtype) for sizes in SIZES for dtype in DTYPES]

# Each grows one size and holds the others at B = 8, T = 20, D = 16, H = 32, K = 4.
GROWTH = {
    "T": [Workload(8, T, 16, 32, 4, "float64") for T in (10, 30, 100, 300, 1000, 3000, 10_000)],
    "B": [Workload(B, 20, 16, 32, 4, "float64") for B in (1, 4, 16, 64, 256, 1024)],
    "H": [Workload(8, 20, 16, H, 4, "float64") for H in (8, 16, 32, 64, 128, 256, 512, 1024)],
}
