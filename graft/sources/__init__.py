"""Where bytes come from: one file per source of images, and readers for files that others made."""
