"""The same gradient in other circumstances: cotangents, layouts, subsets, repetition, special values, sizes.

A backward pass that is right for contiguous Gaussian inputs and one cotangent is often wrong elsewhere: of
102 real shipped gradient bugs that were collected, more than half need one of these to show.
"""
