"""What must be true of purchases: they are in the ledger as they say, by events that were applied once."""

from collections.abc import Mapping
from typing import Final

PURCHASE_CHECKS: Final[Mapping[str, str]] = {
    "purchase is not what was credited": """
        SELECT purchase.id::text AS subject,
               CASE WHEN purchase.credited_at IS NULL THEN 0
                    ELSE purchase.coins - purchase.coins_reversed END AS expected,
               -coalesce(moved.amount, 0) AS found
        FROM purchases AS purchase LEFT JOIN (
            SELECT made.purchase_id, sum(entry.amount) AS amount
            FROM purchase_transfers AS made
            JOIN ledger_entries AS entry ON entry.transfer_id = made.transfer_id
            JOIN ledger_accounts AS account ON account.id = entry.account_id
            WHERE account.kind = 'provider' AND account.currency = 'coin'
            GROUP BY made.purchase_id) AS moved ON moved.purchase_id = purchase.id
        WHERE CASE WHEN purchase.credited_at IS NULL THEN 0
                   ELSE purchase.coins - purchase.coins_reversed END <> -coalesce(moved.amount, 0)""",
    "purchase is not what was paid": """
        SELECT purchase.id::text AS subject,
               CASE WHEN purchase.credited_at IS NULL THEN 0
                    ELSE purchase.amount - purchase.amount_reversed END AS expected,
               coalesce(moved.amount, 0) AS found
        FROM purchases AS purchase LEFT JOIN (
            SELECT made.purchase_id, entry.currency, sum(entry.amount) AS amount
            FROM purchase_transfers AS made
            JOIN ledger_entries AS entry ON entry.transfer_id = made.transfer_id
            JOIN ledger_accounts AS account ON account.id = entry.account_id
            WHERE account.kind = 'platform'
            GROUP BY made.purchase_id, entry.currency) AS moved
            ON moved.purchase_id = purchase.id AND moved.currency = purchase.currency
        WHERE CASE WHEN purchase.credited_at IS NULL THEN 0
                   ELSE purchase.amount - purchase.amount_reversed END <> coalesce(moved.amount, 0)""",
    "coins bought without a purchase": """
        SELECT transfer.id::text AS subject, 1 AS expected, 0 AS found FROM ledger_transfers AS transfer
        WHERE kind = 'purchase'
          AND NOT EXISTS (SELECT FROM purchase_transfers WHERE transfer_id = transfer.id)""",
    "purchase credited more than once": """
        SELECT purchase_id::text AS subject, 1 AS expected, count(*) AS found FROM purchase_transfers
        WHERE kind = 'purchase' GROUP BY purchase_id HAVING count(*) > 1""",
    "event applied more than once": """
        SELECT event_id AS subject, 1 AS expected, count(*) AS found FROM purchase_transfers
        GROUP BY event_id, kind HAVING count(*) > 1""",
    "purchase moved without an event": """
        SELECT transfer_id::text AS subject, 1 AS expected, 0 AS found FROM purchase_transfers AS made
        WHERE NOT EXISTS (SELECT FROM payment_events WHERE id = made.event_id)""",
}
"""Each finds what is wrong: nothing, as long as all is well."""
