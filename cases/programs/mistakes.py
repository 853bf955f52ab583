"""Mistakes that people make in hand-written gradients, one changed line each, and what each is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cases.programs.program import Program, program


@dataclass(frozen=True)
class Mistake:
    """``old`` becomes ``new`` in the gradient of ``program``; the diagnosis of ``at`` must be ``kind``."""

    kind: str
    program: str
    at: str
    old: str
    new: str

    @property
    def label(self) -> str:
        """A short name, unique enough for a test."""
        return f"{self.kind}-{self.program}-{self.at}"

    def plant(self, seed: int = 0) -> Program:
        """Return the program with the mistake in it."""
        return program(self.program, seed, self.old, self.new)


# Program, parameter, old text, new text; by kind.
_TABLE: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "severed": (
        ("mlp_softmax", "b2", '"b2": db2', '"b2": np.zeros_like(db2)'),
        ("mlp_squared", "W1", "ds1 = (ds2 @", "ds1 = 0 * (ds2 @"),
        ("recurrent", "Wh", "dWh = dWh + states[step].T @ ds", 'dWh = np.zeros_like(p["Wh"])'),
        ("lstm", "Wh", "dWh += last.T @ ds", "last.T @ ds"),
        ("embedding", "table", "np.add.at(dtable,", "np.add.at(dtable.copy(),"),
        ("attention", "Wq", '"Wq": dWq, ', ""),
        ("batch_norm", "gain", '"gain": dgain', '"gain": None'),
        ("convolution", "x", "range(3):\n        for j in range(3)", "range(3):\n        for j in range(0)"),
        ("autoencoder", "c", '"c": dc', '"c": 0 * dc'),
    ),
    "sign": (
        ("mlp_squared", "W3", '(x2 @ p["W3"] + p["b3"] - t)', '(t - x2 @ p["W3"] - p["b3"])'),
        ("mlp_hinge", "b1", "db1 = ds1.sum(0)", "db1 = -ds1.sum(0)"),
        ("layer_norm", "gain", "dy = -error *", "dy = error *"),
        ("lstm", "Wx", "dWx += x.T @ ds", "dWx -= x.T @ ds"),
        ("autoencoder", "c", "dc = dy.sum(0)", "dc = -dy.sum(0)"),
        ("convolution", "kernel", "dkernel = np", "dkernel = -np"),
        ("attention", "Wk", "dWk = x.T @ dk", "dWk = -x.T @ dk"),
        ("ridge", "intercept", "2 * error.sum() / n", "-2 * error.sum() / n"),
    ),
    "scale": (
        ("mlp_softmax", "W2", "ds2 /= n\n", "\n"),
        ("mlp_softmax", "b1", "db1 = ds1.sum(0)", "db1 = ds1.mean(0)"),
        ("mlp_softmax", "W1", "dW1 = x.T @ ds1 + ", "dW1 = x.T @ ds1 / n + "),
        ("mlp_softmax", "b1", "(1 - hidden**2)", "(1 - hidden**2) / n"),
        ("mlp_logistic", "layers[1].W", "(sigmoid(logits) - t) / len(t)", "(sigmoid(logits) - t)"),
        ("ridge", "intercept", "2 * error.sum() / n", "error.sum() / n"),
        ("attention", "Wq", "dscores @ k / np.sqrt(q.shape[1])", "dscores @ k"),
        ("convolution", "kernel", " / (rows * columns)", ""),
        ("dropout", "x", "ddropped * mask / (1 - rate)", "ddropped * mask"),
        ("recurrent", "Wx", '"Wx": dWx', '"Wx": dWx / len(x)'),
        ("batch_norm", "gain", "(dz * normal).sum(0)", "(dz * normal).mean(0)"),
        ("batch_norm", "x", "through_variance) / deviation", "through_variance) / x.std(0, ddof=1)"),
        ("layer_norm", "x", "through_variance) / deviation", "through_variance)"),
        ("mlp_huber", "[2]", "dv = scale * features.T", "dv = features.T"),
        ("autoencoder", "W", "dy = 2 * (code", "dy = (code"),
        ("embedding", "table", "dpooled[:, None, :] / length", "dpooled[:, None, :]"),
        ("mlp_huber", "[0]", "dW = x.T @ ds", "dW = x.T @ ds / v"),
    ),
    "transposed": (
        ("mlp_squared", "W3", "dW3 = x2.T @ ds3", "dW3 = ds3.T @ x2"),
        ("recurrent", "Wh", "dWh + states[step].T @ ds", "dWh + ds.T @ states[step]"),
        ("attention", "Wv", "dWv = x.T @ dv", "dWv = dv.T @ x"),
        ("mlp_softmax", "W2", 'hidden.T @ ds2 + strength * p["W2"]', 'ds2.T @ hidden + strength * p["W2"].T'),
        ("convolution", "kernel", "ds)\n    dbias", "ds).swapaxes(2, 3)\n    dbias"),
        ("autoencoder", "W", '"W": dW', '"W": dW.T.reshape(dW.shape)'),
        ("lstm", "out.W", "hidden.T @ dy", '(dy.T @ hidden).reshape(p["out"]["W"].shape)'),
        ("embedding", "W", "dW = pooled.T @ ds", "dW = ds.T @ pooled"),
        ("layer_norm", "x", '"x": dx', '"x": dx.swapaxes(0, 1).reshape(dx.shape)'),
    ),
    "permuted": (
        ("convolution", "kernel", '"kernel": dkernel', '"kernel": dkernel[:, :, ::-1, ::-1]'),
        ("recurrent", "x", "dx[step] =", "dx[len(x) - 1 - step] ="),
        ("lstm", "Wx", "x.T @ ds", "x.T @ ds[:, np.r_[5:10, 0:5, 10:20]]"),
        ("embedding", "table", 'dtable, data["tokens"]', 'dtable, data["tokens"] - 1'),
        ("mlp_softmax", "b2", "db2 = ds2.sum(0)", "db2 = ds2.sum(0)[::-1]"),
        ("attention", "x", '"x": dx', '"x": dx[::-1]'),
        ("layer_norm", "gain", '"gain": dgain', '"gain": np.roll(dgain, 1)'),
        ("mlp_squared", "W2", "dW2 = x1.T @ ds2", "dW2 = x1[:, [1, 0, 2, 4, 3]].T @ ds2"),
    ),
    "swapped": (
        ("mlp_squared", "W1", 'W1": dW1, "b1": db1, "W2": dW2', 'W1": dW2, "b1": db1, "W2": dW1'),
        ("batch_norm", "gain", '"gain": dgain, "bias": dbias', '"gain": dbias, "bias": dgain'),
        ("attention", "Wk", '"Wq": dWq, "Wk": dWk', '"Wq": dWk, "Wk": dWq'),
        ("layer_norm", "bias", '"gain": dgain, "bias": dbias', '"gain": dbias, "bias": dgain'),
        ("mlp_huber", "[1]", "(dW, db, dv, dscale)", "(dW, dv, db, dscale)"),
        ("mlp_logistic", "layers[0].W", '{"W": dW1, "b": db1}, {"W": dW2', '{"W": dW2, "b": db1}, {"W": dW1'),
        ("lstm", "Wx", '"Wx": dWx, "Wh": dWh', '"Wx": dWh, "Wh": dWx'),
        ("recurrent", "b", '"b": db, "v": dv', '"b": dv, "v": db'),
    ),
    "missing-term": (
        ("mlp_softmax", "W1", 'x.T @ ds1 + strength * p["W1"]', "x.T @ ds1"),
        ("mlp_softmax", "b2", "labels] -= 1", "labels] -= 0"),
        ("mlp_softmax", "b2", "labels] -= 1", "labels] += 1"),
        ("mlp_hinge", "W2", '2 * reg * p["W2"]', 'reg * p["W2"]'),
        ("ridge", "w", ' + 2 * data["lam"] * p["w"]', ""),
        ("mlp_squared", "W2", "dW2 = x1.T @ ds2", 'dW2 = x1.T @ ds2 + 0.01 * p["W2"]'),
        ("batch_norm", "x", "dnormal - through_mean - through", "dnormal - through"),
        ("batch_norm", "x", "- through_mean - through_variance", "- through_mean"),
        ("layer_norm", "x", "dnormal - through_mean - through", "dnormal - through"),
        ("autoencoder", "W", "dW = encoder + decoder", "dW = encoder"),
        ("dropout", "y", "dy = y * (t - (y * t).sum(1, keepdims=True))", "dy = y * t"),
        ("recurrent", "Wh", "dWh + states[step].T", "dWh + (step < 5) * states[step].T"),
        ("lstm", "b", "dbias += ds.sum(0)", 'dbias += ds.sum(0) + 0.1 * np.sign(p["b"])'),
    ),
    "unreduced": (
        ("mlp_softmax", "b2", "db2 = ds2.sum(0)", "db2 = ds2"),
        ("convolution", "bias", "ds.sum((0, 2, 3))", "ds.sum(0)"),
        ("layer_norm", "bias", "dy.sum((0, 1), keepdims=True)", "dy"),
        ("batch_norm", "gain", "(dz * normal).sum(0)", "(dz * normal)"),
        ("recurrent", "b", "db + ds.sum(0)", "db + ds"),
        ("mlp_logistic", "layers[0].b", "db1 = ds1.sum(0)", "db1 = ds1"),
        ("lstm", "out.b", "dy.sum(0)", "dy"),
        ("mlp_squared", "b3", "db3 = ds3.sum(0)", "db3 = np.full(5, ds3.sum())"),
        ("embedding", "b", "db = ds.sum(0)", "db = ds"),
        ("ridge", "intercept", "2 * error.sum() / n", "2 * error / n"),
    ),
    "partial": (
        ("mlp_softmax", "W1", "x.T @ ds1 +", "x[:-1].T @ ds1[:-1] +"),
        ("recurrent", "x", "dx[step] =", "dx[max(step, 1)] ="),
        ("convolution", "kernel", '"kernel": dkernel', '"kernel": dkernel * (np.arange(3) < 2)'),
        ("lstm", "b", "dbias += ds.sum(0)", "dbias[:15] += ds.sum(0)[:15]"),
        (
            "embedding",
            "table",
            'np.add.at(dtable, data["tokens"], dwords)',
            'dtable[data["tokens"]] += dwords',
        ),
        ("attention", "x", 'return {"x": dx', 'dx[-1] = 0\n    return {"x": dx'),
        ("attention", "Wv", '"Wv": dWv', '"Wv": np.tril(dWv)'),
        ("mlp_squared", "b1", "db1 = ds1.sum(0)", "db1 = np.append(ds1.sum(0)[:-1], 0)"),
        ("layer_norm", "x", '"x": dx', '"x": dx * np.array([1, 1, 1, 2])[:, None]'),
        ("batch_norm", "W", '"W": dW', '"W": dW * np.array([-1, 1, 1, 1, 1])[:, None]'),
    ),
    "masked": (
        ("dropout", "x", 'drelu * (p["x"] > 0)', "drelu"),
        ("dropout", "x", "ddropped * mask / (1 - rate)", "ddropped / (1 - rate)"),
        ("mlp_softmax", "W2", '"W2": dW2', '"W2": np.clip(dW2, -0.05, 0.05)'),
        ("mlp_hinge", "W1", '2 * reg * p["W1"]', '2 * reg * np.maximum(p["W1"], 0)'),
        ("layer_norm", "x", '"x": dx', '"x": dx * (x > 0)'),
        ("autoencoder", "W", '"W": dW', '"W": np.maximum(dW, 0)'),
        ("convolution", "x", '"x": dx', '"x": np.where(p["x"] > 1, -dx, dx)'),
    ),
    "accumulated": (
        ("mlp_softmax", "W2", '"W2": dW2', '"W2": data.setdefault("kept", np.zeros_like(dW2)).__iadd__(dW2)'),
        ("recurrent", "Wh", '"Wh": dWh', '"Wh": data.setdefault("kept", np.zeros_like(dWh)).__iadd__(dWh)'),
        (
            "convolution",
            "bias",
            "ds.sum((0, 2, 3))",
            'data["kept"] = data.get("kept", 0) + ds.sum((0, 2, 3))',
        ),
        ("lstm", "b", "np.zeros_like(p[name]) for", "data.setdefault(name, np.zeros_like(p[name])) for"),
        (
            "embedding",
            "table",
            'np.zeros_like(p["table"])',
            'data.setdefault("kept", np.zeros_like(p["table"]))',
        ),
        ("attention", "Wo", "dWo = mixed.T @ dy", 'dWo = data["kept"] = data.get("kept", 0) + mixed.T @ dy'),
    ),
    "non-finite": (
        ("dropout", "x", '* (p["x"] > 0)', '* np.sqrt(p["x"]) / np.sqrt(p["x"])'),
        ("embedding", "table", '"table": dtable', '"table": dtable * (dtable != 0) / (dtable != 0)'),
        ("mlp_squared", "W1", "* (s1 > 0)", "* (np.maximum(s1, 0) / np.maximum(s1, 0))"),
        ("recurrent", "Wh", "dWh + states[step].T", "dWh + (states[step] ** 2 / states[step]).T"),
        ("attention", "Wq", "dscores = a * (da", "dscores = a * np.log(a) / np.log(a) * (da"),
        ("lstm", "out.W", "hidden.T @ dy", "hidden.T @ dy / 0.0"),
        ("mlp_huber", "[0]", "0.5 * (1 + np.tanh(s / 2))", "np.exp(800 * s) / (1 + np.exp(800 * s))"),
    ),
    "precision": (
        ("mlp_softmax", "W1", '"W1": dW1', '"W1": dW1.astype(np.float32)'),
        ("mlp_squared", "W3", "- t) / len(x)", "- t).astype(np.float32) / len(x)"),
        ("attention", "Wq", "k / np.sqrt(q.shape[1])", "k / np.float64(np.float32(np.sqrt(q.shape[1])))"),
        ("recurrent", "Wh", '"Wh": dWh', '"Wh": dWh.astype(np.float16).astype(float)'),
        ("convolution", "kernel", "ds)\n    dbias", "ds.astype(np.float32))\n    dbias"),
        (
            "batch_norm",
            "x",
            "through_variance) / deviation",
            "through_variance) / deviation.astype(np.float32)",
        ),
        ("lstm", "Wx", "dWx += x.T @ ds", "dWx += (x.T @ ds).astype(np.float32)"),
    ),
    "nondeterministic": (
        ("mlp_softmax", "W1", "(1 - hidden**2)", "(np.random.default_rng().random(hidden.shape) > 0.5)"),
        ("recurrent", "x", "dh = ds @", "dh = np.random.default_rng().random() * ds @"),
        ("dropout", "x", "ddropped * mask", "ddropped * (np.random.default_rng().random(mask.shape) > rate)"),
        (
            "attention",
            "Wv",
            "dv = a.T @ dmixed",
            "dv = (a * np.random.default_rng().random(a.shape)).T @ dmixed",
        ),
        ("embedding", "table", "dwords = ", "dwords = np.random.default_rng().random() * "),
        ("convolution", "kernel", "dkernel = ", "dkernel = np.random.default_rng().normal() * "),
    ),
    "mutates": (
        ("mlp_softmax", "W2", "    return", '    p["W2"] -= 0.1 * dW2\n    return'),
        ("recurrent", "Wh", "    return", '    p["Wh"] -= 0.1 * dWh\n    return'),
        ("layer_norm", "x", "    return", "    x -= x.mean()\n    return"),
        ("ridge", "intercept", "    return", '    p["intercept"] -= dintercept\n    return'),
        ("lstm", "out.W", "    return", '    p["out"]["W"] *= 0.9\n    return'),
        ("batch_norm", "gain", "    return", '    p["gain"][0] = 1\n    return'),
        ("mlp_logistic", "layers[0].b", "    return", '    p["layers"][0]["b"][:] = 0\n    return'),
    ),
    "shape": (
        ("mlp_softmax", "W2", '"W2": dW2', '"W2": dW2[:3]'),
        ("mlp_huber", "[2]", "(dW, db, dv,", "(dW, db, dv[:, None],"),
        ("recurrent", "b", '"b": db', '"b": np.append(db, 0)'),
        ("layer_norm", "bias", '"bias": dbias', '"bias": dbias[0]'),
        ("convolution", "bias", '"bias": dbias', '"bias": dbias[:, None, None]'),
        ("embedding", "table", '"table": dtable', '"table": dtable[np.unique(data["tokens"])]'),
        ("attention", "Wo", '"Wo": dWo', '"Wo": dWo.ravel()'),
    ),
}


def _rows() -> Iterator[Mistake]:
    for kind, rows in _TABLE.items():
        for row in rows:
            yield Mistake(kind, *row)


MISTAKES: tuple[Mistake, ...] = tuple(_rows())
