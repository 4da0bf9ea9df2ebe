"""The life of jobs: submit, queue, start, stop, finish, recover."""
