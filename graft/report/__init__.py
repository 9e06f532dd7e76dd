"""The page that a study ends in: its tables, figures, tuning and costs in one file that needs nothing else."""
