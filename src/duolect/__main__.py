"""`python -m duolect` is `duolect`."""

from duolect.cli import main

raise SystemExit(main())
