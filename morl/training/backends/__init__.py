"""Back-ends of training: where environments step and how policies are spread over devices."""
