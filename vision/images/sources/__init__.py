"""Where images come from: folders, archives, and files of numbers, each listed by a reader of its own."""
