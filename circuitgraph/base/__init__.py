"""What every question needs: errors, names of components, files of users, writing, progress."""
