"""What each submission must get right: linear regression with a penalty, at the same random parameters."""

import numpy as np

import gradcheck

rng = np.random.default_rng(0)
x = rng.normal(size=(20, 3))
y = rng.normal(size=20)


@gradcheck.target
def regression(submission):
    params = {"w": rng.normal(size=3), "b": 0.5}

    def loss(p):
        return submission.loss(p, x, y)

    def gradient(p):
        return submission.gradient(p, x, y)

    return gradcheck.arguments(loss, params, gradient=gradient)
