"""One page that tells what was hit, what was found and what was left out; see `page.write`."""
