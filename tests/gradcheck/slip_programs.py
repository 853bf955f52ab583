"""Programs in NumPy and PyTorch with hand-written backward passes, in which one thing can be changed."""

PROGRAMS = {
    "np_attention": """
import numpy as np
rng = np.random.default_rng(0)
n, d = 6, 4
params = {k: rng.normal(size=(n, d)) for k in "QKV"}
R = rng.normal(size=(n, d))
def softmax(s):
    e = np.exp(s - s.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
def loss(p):
    s = p["Q"] @ p["K"].T / np.sqrt(d)
    s = np.where(np.triu(np.ones((n, n)), 1) > 0, -1e9, s)
    return np.sum(R * (softmax(s) @ p["V"]))
def gradient(p):
    s = p["Q"] @ p["K"].T / np.sqrt(d)
    mask = np.tril(np.ones((n, n)), 0)
    a = softmax(np.where(mask > 0, s, -1e9))
    dV = a.T @ R
    da = R @ p["V"].T
    ds = a * (da - (da * a).sum(1, keepdims=True))
    ds = ds * mask / np.sqrt(d)
    return {"Q": ds @ p["K"], "K": ds.T @ p["Q"], "V": dV}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_relu": """
import numpy as np
rng = np.random.default_rng(0)
X, t = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
shapes = {"W1": (5, 6), "b1": 6, "W2": (6, 6), "b2": 6, "W3": (6, 3), "b3": 3}
params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
def forward(p):
    h1 = np.maximum(X @ p["W1"] + p["b1"], 0)
    h2 = np.maximum(h1 @ p["W2"] + p["b2"], 0)
    return h1, h2, h2 @ p["W3"] + p["b3"]
def loss(p):
    return np.mean((forward(p)[2] - t) ** 2)
def gradient(p):
    W1, b1, W2, b2, W3 = p["W1"], p["b1"], p["W2"], p["b2"], p["W3"]
    h1, h2, y = forward(p)
    dy = 2 * (y - t) / y.size
    dh2 = dy @ W3.T
    ds2 = dh2 * (h1 @ W2 + b2 > 0)
    dh1 = ds2 @ W2.T
    ds1 = dh1 * (X @ W1 + b1 > 0)
    grads = {}
    grads["W3"] = h2.T @ dy
    grads["b3"] = dy.sum(axis=0)
    grads["W2"] = h1.T @ ds2
    grads["b2"] = ds2.sum(axis=0)
    grads["W1"] = X.T @ ds1
    grads["b1"] = ds1.sum(axis=0)
    return grads
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_conv1d": """
import numpy as np
rng = np.random.default_rng(0)
N, k, stride, pad = 11, 3, 2, 1
L = (N + 2 * pad - k) // stride + 1
params = {"x": rng.normal(size=N), "w": rng.normal(size=k), "b": np.array([0.3])}
R = rng.normal(size=L)
def loss(p):
    x = np.pad(p["x"], pad)
    y = np.array([x[i * stride : i * stride + k] @ p["w"] for i in range(L)]) + p["b"]
    return np.sum(R * np.tanh(y))
def gradient(p):
    x, w = np.pad(p["x"], pad), p["w"]
    dx, dw = np.zeros(N + 2 * pad), np.zeros(k)
    y = np.array([x[i * stride : i * stride + k] @ w for i in range(L)]) + p["b"]
    dy = R * (1 - np.tanh(y) ** 2)
    for i in range(L):
        dw += dy[i] * x[i * stride : i * stride + k]
        dx[i * stride : i * stride + k] += dy[i] * w
    return {"x": dx[pad:-pad], "w": dw, "b": dy.sum(keepdims=True)}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_convfull1": """
import numpy as np
rng = np.random.default_rng(0)
params = {"x": rng.normal(size=9), "w": rng.normal(size=4)}
R = rng.normal(size=6)
def loss(p):
    return np.sum(R * np.correlate(p["x"], p["w"], "valid") ** 2)
def gradient(p):
    x, w = p["x"], p["w"]
    dy = 2 * R * np.correlate(x, w, "valid")
    dx = np.correlate(dy, w[::-1], "full")
    dw = np.correlate(x, dy, "valid")
    return {"x": dx, "w": dw}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_cumsum": """
import numpy as np
rng = np.random.default_rng(0)
params = {"x": rng.normal(size=(3, 7))}
R = rng.normal(size=(3, 7))
def loss(p):
    return np.sum(R * np.cumsum(p["x"], axis=1) ** 2)
def gradient(p):
    g = 2 * R * np.cumsum(p["x"], axis=1)
    dx = np.cumsum(g[:, ::-1], axis=1)[:, ::-1]
    return {"x": dx}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_batchnorm": """
import numpy as np
rng = np.random.default_rng(0)
X, t = rng.normal(size=(9, 4)), rng.normal(size=(9, 5))
params = {"W": rng.normal(size=(4, 5)), "gamma": rng.normal(size=5), "beta": rng.normal(size=5)}
eps = 1e-5
def loss(p):
    s = X @ p["W"]
    xhat = (s - s.mean(axis=0)) / np.sqrt(s.var(axis=0) + eps)
    return np.mean((p["gamma"] * xhat + p["beta"] - t) ** 2)
def gradient(p):
    s = X @ p["W"]
    N = s.shape[0]
    mu, var = s.mean(axis=0), s.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (s - mu) / std
    dout = 2 * (p["gamma"] * xhat + p["beta"] - t) / t.size
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * p["gamma"]
    dvar = np.sum(dxhat * (s - mu), axis=0) * -0.5 * std ** -3
    dmu = np.sum(-dxhat / std, axis=0) + dvar * np.mean(-2 * (s - mu), axis=0)
    ds = dxhat / std + dvar * 2 * (s - mu) / N + dmu / N
    return {"W": X.T @ ds, "gamma": dgamma, "beta": dbeta}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_lstm": """
import numpy as np
rng = np.random.default_rng(0)
T, N, D, H = 5, 3, 4, 4
X = rng.normal(size=(T, N, D))
target = rng.normal(size=(T, N, H))
shapes = {"Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": 4 * H}
params = {name: rng.normal(size=shape) / 2 for name, shape in shapes.items()}
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def forward(p):
    h, c = np.zeros((N, H)), np.zeros((N, H))
    hs, cs, gates = [h], [c], []
    for t in range(T):
        s = X[t] @ p["Wx"] + h @ p["Wh"] + p["b"]
        i, f, o = (sigmoid(s[:, k * H : (k + 1) * H]) for k in range(3))
        g = np.tanh(s[:, 3 * H :])
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h); cs.append(c); gates.append((i, f, o, g))
    return hs, cs, gates
def loss(p):
    hs, _, _ = forward(p)
    return 0.5 * np.mean((np.array(hs[1:]) - target) ** 2)
def gradient(p):
    hs, cs, gates = forward(p)
    dout = (np.array(hs[1:]) - target) / target.size
    dWx, dWh, db = np.zeros_like(p["Wx"]), np.zeros_like(p["Wh"]), np.zeros_like(p["b"])
    dh_next, dc_next = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        i, f, o, g = gates[t]
        tc = np.tanh(cs[t + 1])
        dh = dout[t] + dh_next
        dc = dc_next + dh * o * (1 - tc ** 2)
        di, df, do, dg = dc * g, dc * cs[t], dh * tc, dc * i
        ds = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
        dWx += X[t].T @ ds
        dWh += hs[t].T @ ds
        db += ds.sum(axis=0)
        dh_next = ds @ p["Wh"].T
        dc_next = dc * f
    return {"Wx": dWx, "Wh": dWh, "b": db}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_softmax": """
import numpy as np
rng = np.random.default_rng(0)
X, labels = rng.normal(size=(5, 4)), rng.integers(0, 5, size=5)
params = {"W": rng.normal(size=(4, 5)), "b": rng.normal(size=5)}
R = rng.normal(size=(5, 5))
def loss(p):
    z = X @ p["W"] + p["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.sum(R * (e / e.sum(axis=1, keepdims=True)))
def gradient(p):
    z = X @ p["W"] + p["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    dz = y * (R - np.sum(R * y, axis=1, keepdims=True))
    return {"W": X.T @ dz, "b": dz.sum(axis=0)}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "th_attention": """
import torch
class Attn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        n = q.shape[-2]
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        mask = torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)
        p = s.masked_fill(mask, float("-inf")).softmax(-1)
        ctx.save_for_backward(q, k, v)
        return p @ v
    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        n = q.shape[-2]
        scale = q.shape[-1] ** -0.5
        s = q @ k.transpose(-1, -2) * scale
        mask = torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)
        p = s.masked_fill(mask, float("-inf")).softmax(-1)
        dv = p.transpose(-1, -2) @ do
        dp = do @ v.transpose(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        dq = ds @ k * scale
        dk = ds.transpose(-1, -2) @ q * scale
        return dq, dk, dv
torch.manual_seed(0)
def args():
    x = [torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    return (Attn.apply, *x), {}
""",
    "th_softmax": """
import torch
class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.softmax(-1)
        ctx.save_for_backward(y)
        return y
    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return y * (g - (g * y).sum(-1, keepdim=True))
torch.manual_seed(0)
def args():
    lin = torch.nn.Linear(5, 5).double()
    x = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    return (lambda x: Softmax.apply(lin(x)).cos(), x), {}
""",
    "th_logsoftmax": """
import torch
class LogSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.log_softmax(-1)
        ctx.save_for_backward(y)
        return y
    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g - y.exp() * g.sum(-1, keepdim=True)
torch.manual_seed(0)
def args():
    return (LogSoftmax.apply, torch.randn(4, 5, dtype=torch.float64, requires_grad=True)), {}
""",
    "th_complex": """
import torch
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z * z
    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return g * 2 * z.conj()
torch.manual_seed(0)
def args():
    return (Square.apply, torch.randn(4, dtype=torch.complex128, requires_grad=True)), {}
""",
    "th_exp2": """
import math
import torch
class Exp2(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.exp2(x)
        ctx.save_for_backward(y)
        return y
    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y * math.log(2)
torch.manual_seed(0)
def args():
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    return (lambda x: Exp2.apply(x.sin()).cos(), x), {}
""",
    "th_layernorm": """
import torch
class LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        mean = x.mean(-1, keepdim=True)
        var = x.var(-1, keepdim=True, unbiased=False)
        rstd = (var + 1e-5).rsqrt()
        xhat = (x - mean) * rstd
        ctx.save_for_backward(xhat, rstd, w)
        return xhat * w + b
    @staticmethod
    def backward(ctx, g):
        xhat, rstd, w = ctx.saved_tensors
        n = xhat.shape[-1]
        dxhat = g * w
        dw = (g * xhat).sum(0)
        db = g.sum(0)
        dx = (dxhat - dxhat.mean(-1, keepdim=True) - xhat * (dxhat * xhat).mean(-1, keepdim=True)) * rstd
        return dx, dw, db
torch.manual_seed(0)
def args():
    lin = torch.nn.Linear(6, 6).double()
    w, b = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    return (lambda x, w, b: LayerNorm.apply(lin(x), w, b).cos(), x, w, b), {}
""",
    "th_gate": """
import torch
class Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate):
        ctx.save_for_backward(x, gate)
        return x * gate[:, None]
    @staticmethod
    def backward(ctx, g):
        x, gate = ctx.saved_tensors
        return g * gate[:, None], (g * x).sum(1)
torch.manual_seed(0)
def args():
    x, gate = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in ((5, 3), (5,)))
    return (lambda x, gate: Gated.apply(x, gate), x, gate), {}
""",
    "th_gram": """
import torch
class Gram(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x @ x.mT
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g + g.mT) @ x
torch.manual_seed(0)
def args():
    return (Gram.apply, torch.randn(4, 3, dtype=torch.float64, requires_grad=True)), {}
""",
    "th_inverse": """
import torch
class Inverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        b = torch.linalg.inv(a)
        ctx.save_for_backward(b)
        return b
    @staticmethod
    def backward(ctx, g): (b,) = ctx.saved_tensors; return -b.mT @ g @ b.mT
torch.manual_seed(0)
def args():
    a = torch.randn(4, 4, dtype=torch.float64) + 3 * torch.eye(4, dtype=torch.float64)
    return (Inverse.apply, a.requires_grad_()), {}
""",
    "th_product": """
import torch
class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b
    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b.conj(), g * a.conj()
torch.manual_seed(0)
def args():
    a, b = (torch.randn(3, 4, dtype=torch.complex128, requires_grad=True) for _ in range(2))
    return (Product.apply, a, b), {}
""",
    "th_rmsnorm": """
import torch
class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        r = (x * x).mean(-1, keepdim=True).rsqrt()
        ctx.save_for_backward(x, r)
        return x * r
    @staticmethod
    def backward(ctx, g):
        x, r = ctx.saved_tensors
        term = (g * x).mean(-1)
        return r * g - r**3 * x * term[:, None]
torch.manual_seed(0)
def args():
    return (RMSNorm.apply, torch.randn(4, 4, dtype=torch.float64, requires_grad=True)), {}
""",
    "th_conv": """
import torch
import torch.nn.functional as F
class Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return F.conv2d(x, w, padding=1)
    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        dx = F.conv2d(g, w.transpose(0, 1).flip(2, 3), padding=1)
        dw = F.conv2d(x.transpose(0, 1), g.transpose(0, 1), padding=1).transpose(0, 1)
        return dx, dw
torch.manual_seed(0)
def args():
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, padding=1).double(), torch.nn.Tanh())
    w = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    return (lambda x, w: Conv.apply(net(x), w).tanh(), x, w), {}
""",
    "np_charrnn": """
import numpy as np
rng = np.random.default_rng(0)
V, H = 5, 4
inputs, targets = [0, 3, 2, 4, 1, 1], [3, 2, 4, 1, 1, 0]
shapes = {"Wx": (H, V), "Wh": (H, H), "Wy": (V, H), "bh": (H, 1), "by": (V, 1)}
params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
def both(p, inputs, targets):
    xs, hs, ps, loss = {}, {-1: np.zeros((H, 1))}, {}, 0.0
    for t in range(len(inputs)):
        xs[t] = np.zeros((V, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(p["Wx"] @ xs[t] + p["Wh"] @ hs[t - 1] + p["bh"])
        ys = p["Wy"] @ hs[t] + p["by"]
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss -= np.log(ps[t][targets[t], 0])
    g = {name: np.zeros_like(w) for name, w in p.items()}
    carried = np.zeros((H, 1))
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        g["Wy"] += dy @ hs[t].T
        g["by"] += dy
        dh = p["Wy"].T @ dy + carried
        ds = (1 - hs[t] ** 2) * dh
        g["bh"] += ds
        g["Wx"] += ds @ xs[t].T
        g["Wh"] += ds @ hs[t - 1].T
        carried = p["Wh"].T @ ds
    return loss, g
def loss(p):
    return both(p, inputs, targets)[0]
def gradient(p):
    return both(p, inputs, targets)[1]
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_classes": """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
params = {"W1": rng.normal(size=(4, 6)), "W2": rng.normal(size=(6, 3)), "b": rng.normal(size=3)}
def both(p):
    h = 1 / (1 + np.exp(-(X @ p["W1"])))
    z = h @ p["W2"] + p["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(probs[np.arange(len(y)), y]).mean()
    dz = probs.copy()
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    dh = dz @ p["W2"].T
    ds = h * (1 - h) * dh
    return loss, {"W1": X.T @ ds, "W2": h.T @ dz, "b": np.sum(dz, axis=0)}
def args():
    return (None, params), {"value_and_gradient": both}
""",
    "np_heads": """
import numpy as np
rng = np.random.default_rng(0)
B, T, h, d = 2, 3, 2, 5
x, R = rng.normal(size=(2, B, T, h * d))
params = {name: rng.normal(size=(h * d, h * d)) / 3 for name in ("q", "k", "v")}
class Attention:
    def split(self, x):
        return x.reshape(B, T, h, d).transpose(0, 2, 1, 3)
    def merge(self, x):
        return x.transpose(0, 2, 1, 3).reshape(B * T, h * d)
    def forward(self, p):
        self.q, self.k, self.v = (self.split(x @ p[name]) for name in ("q", "k", "v"))
        self.scale = 1 / np.sqrt(d)
        s = self.q @ self.k.transpose(0, 1, 3, 2) * self.scale
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        self.a = e / e.sum(axis=-1, keepdims=True)
        return (self.a @ self.v).transpose(0, 2, 1, 3).reshape(B, T, h * d)
    def backward(self):
        do = R.reshape(B, T, h, d).transpose(0, 2, 1, 3)
        da = do @ self.v.transpose(0, 1, 3, 2)
        dv = self.a.transpose(0, 1, 3, 2) @ do
        ds = self.a * (da - (da * self.a).sum(axis=-1, keepdims=True))
        ds = ds * self.scale
        dq = ds @ self.k
        dk = ds.transpose(0, 1, 3, 2) @ self.q
        flat = x.reshape(B * T, h * d).T
        return {"q": flat @ self.merge(dq), "k": flat @ self.merge(dk), "v": flat @ self.merge(dv)}
layer = Attention()
def loss(p):
    return np.sum(R * layer.forward(p))
def gradient(p):
    layer.forward(p)
    return layer.backward()
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_embedding": """
import numpy as np
rng = np.random.default_rng(0)
words, centre = np.array([3, 1, 3, 0, 4, 1]), 2
params = {"E": rng.normal(size=(5, 3)), "c": rng.normal(size=(5, 3))}
def loss(p):
    return np.sum(np.tanh(p["E"][words] @ p["c"][centre]))
def gradient(p):
    E, c, i = p["E"], p["c"], centre
    ds = 1 - np.tanh(E[words] @ c[i]) ** 2
    dE, dc = np.zeros_like(E), np.zeros_like(c)
    np.add.at(dE, words, np.outer(ds, c[i]))
    dc[i] += ds @ E[words]
    return {"E": dE, "c": dc}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_conv2d": """
import numpy as np
rng = np.random.default_rng(0)
pad, H, W = 1, 4, 5
params = {"x": rng.normal(size=(H, W)), "w": rng.normal(size=(3, 3))}
R = rng.normal(size=(H, W))
def gelu(x):
    return x + 0.1 * x**3
def loss(p):
    x = np.pad(p["x"], pad)
    y = np.array([[np.sum(x[i : i + 3, j : j + 3] * p["w"]) for j in range(W)] for i in range(H)])
    return np.sum(R * gelu(y))
def gradient(p):
    x, w = np.pad(p["x"], pad), p["w"]
    y = np.array([[np.sum(x[i : i + 3, j : j + 3] * w) for j in range(W)] for i in range(H)])
    dy = R * (1 + 3 * 0.1 * y**2)
    dx, dw = np.zeros((H + 2 * pad, W + 2 * pad)), np.zeros((3, 3))
    for i in range(H):
        for j in range(W):
            dw += dy[i, j] * x[i : i + 3, j : j + 3]
            dx[i : i + 3, j : j + 3] += dy[i, j] * w
    return {"x": dx[pad : pad + H, pad : pad + W], "w": dw}
def args():
    return (loss, params), {"gradient": gradient}
""",
    "np_huber": """
import numpy as np
rng = np.random.default_rng(0)
X, t, lam, bound = rng.normal(size=(12, 4)), rng.normal(size=12), 0.3, 1.0
class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)
weights = Parameter(rng.normal(size=(3, 3)))
def loss(p):
    r = X @ p["w"] - t
    tied = np.tanh(X[:, :3] @ p["W"]) @ p["W"].T
    small = np.abs(r) <= 1
    huber = np.where(small, r**2 / 2, np.abs(r) - 0.5).mean()
    return huber + lam * np.abs(p["w"]).sum() + np.sum(tied**2) / 2
def gradient(p):
    weights.data, weights.grad = p["W"], np.ones((3, 3))
    return {"w": of_huber(p["w"]), "W": of_tied()}
def of_huber(w):
    r = X @ w - t
    g = np.where(np.abs(r) <= 1, r, np.sign(r))
    return X.T @ g / len(X) + lam * np.sign(w)
def of_tied():
    x, W = X[:, :3], weights.data
    h = np.tanh(x @ W)
    d = h @ W.T
    dh = d @ weights.data
    ds = dh * (1 - np.power(h, 2))
    return x.T @ ds + d.T @ h
params = {"w": np.array([0.3, -0.2, 0.0, 0.5]), "W": rng.normal(size=(3, 3))}
def args():
    return (loss, params), {"gradient": gradient}
""",
}
