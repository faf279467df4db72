"""The way to payment providers: Stripe, or a test provider that moves no money.

``ports`` is what services know of it, ``events`` what a provider says, each thing once. The rest does I/O.
"""
