"""One small change in the source of a backward pass that makes every gradient right.

Numbers tell a mistake at the end of a backward pass: a factor, a transposition. A mask that is made of the
wrong array, a carry that is dropped between two steps, an index that is off by one in the middle of it end
in numbers that look like nothing known. But a backward pass whose source is at hand can be run again with a
small change to it, and the right gradients are known: a change after which every gradient is right names
the line and the mistake. (Generate and validate, as in automatic program repair: Weimer et al. 2009.)
"""
