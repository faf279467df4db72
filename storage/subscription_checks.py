"""What must be true of subscriptions: each invoice is in the ledger as it says, and so is what went back."""

from collections.abc import Mapping
from typing import Final

from storage.repositories.subscription_invoices import COUNTED

_MOVED: Final = """
    LEFT JOIN LATERAL (
        SELECT sum(entry.amount) AS amount FROM ledger_entries AS entry
        JOIN ledger_accounts AS account ON account.id = entry.account_id
        WHERE entry.transfer_id = invoice.transfer_id AND account.currency = invoice.currency
          AND {accounts}) AS moved ON true"""
_TAKEN_BACK: Final = """
    FULL JOIN (
        SELECT split_part(transfer.fingerprint, ' ', 2) AS id, sum(entry.amount) AS amount
        FROM ledger_transfers AS transfer
        JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
        JOIN ledger_accounts AS account ON account.id = entry.account_id
        WHERE transfer.kind IN ('refund', 'dispute') AND transfer.fingerprint LIKE 'invoice %'
          AND account.kind IN {kinds}
        GROUP BY 1) AS moved ON moved.id = invoice.id"""

SUBSCRIPTION_CHECKS: Final[Mapping[str, str]] = {
    "invoice is not what was paid": f"""
        SELECT invoice.id AS subject, invoice.amount AS expected, -coalesce(moved.amount, 0) AS found
        FROM subscription_invoices AS invoice {_MOVED.format(accounts="account.kind = 'provider'")}
        WHERE invoice.amount <> -coalesce(moved.amount, 0)""",
    "invoice is not what was earned": f"""
        SELECT invoice.id AS subject, invoice.earned AS expected, coalesce(moved.amount, 0) AS found
        FROM subscription_invoices AS invoice
        {_MOVED.format(accounts="account.kind = 'earnings' AND account.owner_id = invoice.creator_id")}
        WHERE invoice.earned <> coalesce(moved.amount, 0)""",
    "invoice is not what was noted of its refunds": f"""
        SELECT invoice.id AS subject, least(coalesce(noted.amount, 0), invoice.amount) AS expected,
               invoice.refunded AS found
        FROM subscription_invoices AS invoice LEFT JOIN (
            SELECT invoices.id, sum({COUNTED}) AS amount
            FROM subscription_invoices AS invoices
            JOIN subscription_payments AS payments ON payments.invoice_id = invoices.id
            JOIN subscription_refunds AS refunds ON refunds.payment_ref = payments.payment_ref
            GROUP BY invoices.id) AS noted ON noted.id = invoice.id
        WHERE invoice.refunded <> least(coalesce(noted.amount, 0), invoice.amount)""",
    "refund of an invoice is not what was paid back": f"""
        SELECT coalesce(invoice.id, moved.id) AS subject, coalesce(invoice.refunded, 0) AS expected,
               coalesce(moved.amount, 0) AS found
        FROM subscription_invoices AS invoice {_TAKEN_BACK.format(kinds="('provider')")}
        WHERE coalesce(invoice.refunded, 0) <> coalesce(moved.amount, 0)""",
    "refund of an invoice is not what was taken from the earnings": f"""
        SELECT coalesce(invoice.id, moved.id) AS subject, coalesce(invoice.taken_back, 0) AS expected,
               -coalesce(moved.amount, 0) AS found
        FROM subscription_invoices AS invoice {_TAKEN_BACK.format(kinds="('earnings', 'debt')")}
        WHERE coalesce(invoice.taken_back, 0) <> -coalesce(moved.amount, 0)""",
    "subscription paid without an invoice": """
        SELECT transfer.id::text AS subject, 1 AS expected, 0 AS found FROM ledger_transfers AS transfer
        WHERE kind = 'subscription'
          AND NOT EXISTS (SELECT FROM subscription_invoices WHERE transfer_id = transfer.id)""",
}
"""Each finds what is wrong: nothing, as long as all is well."""
