"""Mistakes looked for on an implementation's own values, where no single known one explains its gradients.

`reading` has what its gradients give away, `forced` the textbook run on these values, `residuals` the
equations that they break, `readoff` and `products` what was computed instead, `peel` the search for several
mistakes at once, and `each_gate` the questions to a forward pass that is another one.
"""
