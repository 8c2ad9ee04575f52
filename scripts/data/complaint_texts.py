"""Consumer complaints that nobody made, shaped like those of the US Consumer Financial Protection Bureau.

Companies and sentences are invented. What is missing, masked zip codes, lost first zeros, quotes and line breaks
follow the real data of 2014-2016; disputes depend on the answer, the way of sending, the product and the words.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

COLUMNS = (
    "complaint_id",
    "date_received",
    "product",
    "sub_product",
    "issue",
    "sub_issue",
    "consumer_complaint_narrative",
    "company",
    "state",
    "zip_code",
    "company_response",
    "timely_response",
    "consumer_disputed",
    "submitted_via",
    "source",
    "label_disputed",
)
_CHUNK_ROWS = 10_000

# Product: share, effect on the log odds of a dispute, sub-products, issues, words of its own.
_PRODUCTS: dict[str, tuple[float, float, tuple[str, ...], tuple[str, ...], str]] = {
    "Debt collection": (
        0.26,
        -0.2,
        ("Medical", "Credit card", "Payday loan", ""),
        ("Cont'd attempts collect debt not owed", "Disclosure verification of debt", "Communication tactics"),
        "collector debt owed validate agency calling collection verify amount creditor",
    ),
    "Mortgage": (
        0.25,
        0.5,
        ("Conventional fixed mortgage", "FHA mortgage", "Other mortgage"),
        ("Loan modification,collection,foreclosure", "Loan servicing, payments, escrow account"),
        "mortgage escrow foreclosure modification house servicer refinance closing lender home",
    ),
    "Credit reporting": (
        0.19,
        -0.3,
        ("",),
        ("Incorrect information on credit report", "Credit reporting company's investigation"),
        "report bureau score inquiry accurate remove file dispute tradeline listed",
    ),
    "Credit card": (
        0.1,
        0.3,
        ("",),
        ("Billing disputes", "Closing/Cancelling account", "APR or interest rate"),
        "card purchase statement interest merchant charged balance rewards limit annual",
    ),
    "Bank account or service": (
        0.1,
        0.1,
        ("Checking account", "Savings account"),
        ("Account opening, closing, or management", "Deposits and withdrawals"),
        "checking deposit overdraft branch teller withdrawal account savings atm fee",
    ),
    "Student loan": (
        0.06,
        0.2,
        ("Non-federal student loan",),
        ("Dealing with my lender or servicer", "Can't repay my loan"),
        "student college degree forbearance repayment semester cosigner tuition loan deferment",
    ),
    "Consumer loan": (
        0.04,
        0.0,
        ("Vehicle loan", "Installment loan"),
        ("Managing the loan or lease", "Problems when you are unable to pay"),
        "car dealer vehicle title lease repossess truck financing installment payoff",
    ),
}
_RESPONSES = {
    "Closed with explanation": (0.69, 0.4),
    "Closed with non-monetary relief": (0.12, -0.9),
    "Closed with monetary relief": (0.06, -1.8),
    "Closed": (0.02, 0.3),
    "Untimely response": (0.01, -4.0),
    "In progress": (0.10, 0.0),
}
_CHANNELS = {
    "Web": (0.72, 0.5),
    "Referral": (0.15, -0.9),
    "Postal mail": (0.06, -1.2),
    "Phone": (0.05, -0.8),
    "": (0.02, 0),
}
_STATES = {"CA": "9", "FL": "3", "TX": "7", "NY": "1", "GA": "3", "NJ": "0", "PA": "1", "IL": "6", "MA": "0", "": "5"}
_COMPANIES = (
    "Harbor National Bank",
    "Prairie Credit Union",
    "Lakeshore Lending",
    "Union Recovery, LLC",
    "North & Sons",
    "",
)
_OPENINGS = (
    "I am writing about my account with this company.",
    "On XX/XX/2015 I received a letter from them.",
    'The representative told me "there is nothing we can do".',
    "I have been a customer since XXXX.",
)
_ENDINGS = ("I want this corrected.", "Please help me 🙏.", "They never answered my letters.", "Thank you,\nXXXX XXXX")
_ANGRY = ("They refuse again and again to listen.", "This is unacceptable and I will not let it go.")
_CALM = ("A person on the phone was helpful at last.", "I only want to understand what happened.")


def write(path: Path, rows: int, seed: int) -> None:
    """Writes complaints as CSV, the same ones for the same `rows` and `seed`."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for chunk, first in enumerate(range(0, rows, _CHUNK_ROWS)):
            generator = np.random.default_rng([seed, chunk])
            writer.writerows(complaints(min(_CHUNK_ROWS, rows - first), 1_000_001 + first, generator))


def complaints(rows: int, first_id: int, generator: np.random.Generator) -> Iterator[list[str]]:
    """Yields complaints, their values in the order of `COLUMNS`.

    Args:
      rows: how many.
      first_id: number of the first; they are numbered on.
      generator: of everything that is left to chance.
    """
    products = list(_PRODUCTS)
    product = _choose(generator, rows, [facts[0] for facts in _PRODUCTS.values()])
    response = _choose(generator, rows, [facts[0] for facts in _RESPONSES.values()])
    channel = _choose(generator, rows, [facts[0] for facts in _CHANNELS.values()])
    state = _choose(generator, rows, [5, 4, 3, 3, 2, 2, 2, 2, 1.5, 0.2])
    company = _choose(generator, rows, [3, 2, 2, 1, 1, 12])
    days = generator.integers(0, 500, rows)
    # Drawn for all rows, so that what one complaint holds does not depend on the others.
    chances = generator.random((rows, 6))
    picks = generator.integers(0, 1 << 30, (rows, 24))
    for row in range(rows):
        name = products[product[row]]
        _, effect, sub_products, issues, words = _PRODUCTS[name]
        answer, (_, answer_effect) = list(_RESPONSES.items())[response[row]]
        sent, (_, sent_effect) = list(_CHANNELS.items())[channel[row]]
        angry = bool(chances[row, 0] < 0.4)
        odds = -2.3 + effect + answer_effect + sent_effect + (0.5 if angry else -0.3)
        disputed = bool(chances[row, 1] < 1 / (1 + np.exp(-odds)))
        known = answer != "In progress"
        has_text = bool(chances[row, 2] < 0.2)
        home = list(_STATES)[state[row]]
        yield [
            str(first_id + row),
            (datetime.date(2014, 10, 1) + datetime.timedelta(days=int(days[row]))).isoformat(),
            name,
            sub_products[picks[row, 0] % len(sub_products)],
            issues[picks[row, 1] % len(issues)],
            "",
            _narrative(words.split(), angry, picks[row]) if has_text else "",
            _COMPANIES[company[row]],
            home,
            _zip_code(_STATES[home], picks[row], masked=has_text, missing=bool(chances[row, 3] < 0.01)),
            answer,
            "No" if answer == "Untimely response" or chances[row, 4] < 0.02 else "Yes",
            ("Yes" if disputed else "No") if known else "",
            sent,
            "generated",
            str(int(disputed)) if known else "",
        ]


def _choose(generator: np.random.Generator, rows: int, weights: Sequence[float]) -> npt.NDArray[np.int64]:
    shares = np.array(weights, np.float64)
    return generator.choice(len(shares), size=rows, p=shares / shares.sum())


def _zip_code(first_digit: str, picks: npt.NDArray[np.int64], *, masked: bool, missing: bool) -> str:
    """A zip code: masked where there is a narrative, else with its first zeros lost, as in the real files."""
    if missing:
        return ""
    code = f"{first_digit}{picks[2] % 100:02d}{picks[3] % 90 + 10:02d}"
    return f"{code[:3]}XX" if masked else str(int(code))


def _narrative(words: list[str], angry: bool, picks: npt.NDArray[np.int64]) -> str:
    said = " ".join(words[pick % len(words)] for pick in picks[4 : 4 + 8 + picks[4] % 8])
    mood = (_ANGRY if angry else _CALM)[picks[5] % 2]
    parts = [_OPENINGS[picks[6] % len(_OPENINGS)], f"It is about the {said}.", mood, _ENDINGS[picks[7] % len(_ENDINGS)]]
    return ("\n\n" if picks[8] % 3 == 0 else " ").join(parts)
