#compdef rnx
# What completes is click's, of the version that is installed: a script made at build time might not fit it.
eval "$(rnx completion zsh)"
_rnx_completion "$@"
