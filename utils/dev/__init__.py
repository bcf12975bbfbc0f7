"""`sh run.sh dev` and the private servers; production never imports this."""

from conf import ROOT

DEV = ROOT / ".dev"
ENV = DEV / "env"  # the settings that lead to dev's servers, while it runs
