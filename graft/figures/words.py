"""The texts of figures in other languages than English; names from a study, and metrics that go by one name, stay."""

WORDS: dict[str, dict[str, str]] = {
    "de": {
        # Titles
        "{model} on {dataset}": "{model} auf {dataset}",
        "{name} on {dataset}, test split": "{name} auf {dataset}, Testdaten",
        "{dataset}, test split": "{dataset}, Testdaten",
        "{dataset}: training images": "{dataset}: Trainingsbilder",
        "Mean ranks by {metric}, test splits": "Mittlere Ränge nach {metric}, Testdaten",
        "Soft vote of members of {ensemble} on {dataset}, test split": (
            "Gemittelte Wahrscheinlichkeiten von Mitgliedern von {ensemble} auf {dataset}, Testdaten"
        ),
        "Search for {model} on {dataset}: history": "Suche für {model} auf {dataset}: Verlauf",
        "Search for {model} on {dataset}: importance": "Suche für {model} auf {dataset}: Bedeutung",
        "Search for {model} on {dataset}: parallel coordinates": (
            "Suche für {model} auf {dataset}: parallele Koordinaten"
        ),
        "Search for {model} on {dataset}: intermediate values": "Suche für {model} auf {dataset}: Zwischenwerte",
        "Search for {model} on {dataset}: slice": "Suche für {model} auf {dataset}: einzelne Parameter",
        # Metrics
        "Top-1 accuracy": "Top-1-Genauigkeit",
        "Top-5 accuracy": "Top-5-Genauigkeit",
        "Log loss": "Log-Loss",
        "Brier score": "Brier-Score",
        "Balanced accuracy": "Balancierte Genauigkeit",
        "Macro F1": "Makro-F1",
        "Expected calibration error": "Erwarteter Kalibrierungsfehler",
        "Validation loss": "Validierungsverlust",
        "Validation accuracy": "Validierungsgenauigkeit",
        "top-1 accuracy": "Top-1-Genauigkeit",
        "log loss": "Log-Loss",
        "{measure}, higher is better": "{measure}, höher ist besser",
        "{measure}, lower is better": "{measure}, niedriger ist besser",
        # Confusion matrix
        "Predicted class": "Vorhergesagte Klasse",
        "True class": "Wahre Klasse",
        "Share of the true class (%)": "Anteil an der wahren Klasse (%)",
        # Critical difference
        "critical difference {distance}": "kritische Differenz {distance}",
        "critical difference {distance}, more than any two ranks can differ": (
            "kritische Differenz {distance}, mehr als zwei Ränge sich unterscheiden können"
        ),
        "Friedman's test over {datasets} data sets: {p}": "Friedman-Test über {datasets} Datensätze: {p}",
        # Growth
        "lowest to highest choice": "niedrigste bis höchste Auswahl",
        "mean of the choices tried": "Mittel der geprüften Auswahlen",
        "all members": "alle Mitglieder",
        "Members": "Mitglieder",
        # Learning curves
        "validation": "Validierung",
        "training": "Training",
        "seed {seed}": "Seed {seed}",
        "Epoch": "Epoche",
        "Accuracy (%)": "Genauigkeit (%)",
        "Loss": "Verlust",
        # Model comparison
        "one seed": "ein Seed",
        "mean ± sd over seeds": "Mittel ± SD über Seeds",
        "model, one seed": "Modell, ein Seed",
        "ensemble": "Ensemble",
        # Searches
        "complete trial": "vollständiger Versuch",
        "pruned trial": "abgebrochener Versuch",
        "best so far": "bisher bester",
        "best trial": "bester Versuch",
        "Trial": "Versuch",
        "No trial came to its end.": "Kein Versuch kam zum Ende.",
        "No trial came to the end of an epoch.": "Kein Versuch kam ans Ende einer Epoche.",
        "Importance takes {fewest} complete trials or more; this search has {complete}.": (
            "Bedeutung braucht {fewest} vollständige Versuche; diese Suche hat {complete}."
        ),
        "All complete trials have the same value: no parameter mattered.": (
            "Alle vollständigen Versuche haben denselben Wert: Kein Parameter war von Bedeutung."
        ),
        "not told by {evaluator}": "von {evaluator} nicht bestimmt",
        "Share of importance (%)": "Anteil an der Bedeutung (%)",
    },
}
"""Each language's words for each English text, by language; ``{fields}`` are those of the English text."""


def translated(text: str, language: str) -> str:
    """``text``, which is English, in another language; itself in English (``en``).

    Raises:
        KeyError: the language, or the text in it, is unknown.
    """
    return text if language == "en" else WORDS[language][text]
