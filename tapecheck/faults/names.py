"""Names that only edited equations have, such as `f_next` and `dz_f_from_i`: as source, and in words."""

import ast
import re

from tapecheck.faults.edits import GATES, SHIFT_WORDS, SHIFTS, exchange_names, expression, names_in


def said_of_shift(wrong: ast.expr) -> str:
    """What a name such as "f_next" means, where the edited equation has one."""
    for name in names_in(wrong):
        shifted = re.fullmatch(r"(x_t|h_prev|c_prev|phi_c|[ifgoch])(_[a-z_]+)", name)
        if shifted and shifted[2] in SHIFT_WORDS:
            return f"{name} is {shifted[1]} {SHIFT_WORDS[shifted[2]]}"
        gates = re.fullmatch(r"(dz|W_x|W_h)_([ifgo])_from_([ifgo])", name)
        if gates:
            return f"{name} is {gates[1]} with the block of gate {gates[3]} in place of {gates[2]}'s"
        gates = re.fullmatch(r"(dz|W_x|W_h)_(only|without)_([ifgo])", name)
        if gates and gates[1] == "dz":
            return (
                f"{name} is dz with {'nothing but' if gates[2] == 'only' else 'no'} block of gate {gates[3]}"
            )
        if gates:
            return f"{name} has the block of gate {gates[3]} for every gate"
    return ""


def resolved(wrong: ast.expr, forward: bool) -> ast.expr:
    """The edited expression with the names that only it knows exchanged for what they mean."""
    sources = {name: source_of(name, forward) for name in names_in(wrong)}
    return exchange_names(wrong, {name: expression(text) for name, text in sources.items() if text})


def source_of(name: str, forward: bool) -> str:
    """What a name such as "f_next" or "dz_f_from_i" means, as source; "" for an ordinary name."""
    for suffix, source in SHIFTS.items():
        of = name.removesuffix(suffix)
        if of != name and of in ("x_t", "h_prev", "c_prev", "phi_c", *GATES, "c", "h"):
            return source.format(of)
    if name in ("sigma", "phi"):
        return f"activation(layer.{'recurrent_' if name == 'sigma' else ''}activation).value"
    if name == "T" and forward:
        return "x.shape[1]"
    match = re.fullmatch(r"(W_[xhy])_(untransposed|reshaped)", name)
    if match:
        W, what = match.groups()
        by_gate = f"np.concatenate(np.split({W}, 4, axis=1))" if W != "W_y" else W
        return by_gate if what == "untransposed" else f"{W}.reshape({W}.T.shape)"
    match = re.fullmatch(r"W_h_([ifgo])_untransposed", name)
    if match:
        split = {k: f"np.split(W_h, 4, axis=1)[{n}]" for n, k in enumerate(GATES)}
        rows = [block if k == match[1] else f"{block}.T" for k, block in split.items()]
        return f"np.concatenate([{', '.join(rows)}])"
    match = re.fullmatch(r"(dz|W_x|W_h)_(?:(only|without)_([ifgo])|([ifgo])_from_([ifgo]))", name)
    if not match:
        return ""
    of, how, gate, place, other = match.groups()
    blocks = {k: f"dz_{k}" if of == "dz" else f"np.split({of}, 4, axis=1)[{n}]" for n, k in enumerate(GATES)}
    if place:
        used = blocks | {place: blocks[other]}
    elif of != "dz":
        used = dict.fromkeys(GATES, blocks[gate])
    else:
        used = {k: block if (k == gate) == (how == "only") else f"0 * {block}" for k, block in blocks.items()}
    return f"np.concatenate([{', '.join(used.values())}], axis=1)"
