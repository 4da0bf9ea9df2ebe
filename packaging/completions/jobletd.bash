# What completes is click's, of the version that is installed: a script made at build time might not fit it.
eval "$(_JOBLETD_COMPLETE=bash_source jobletd)"
