"""The consumer complaints model with another label: settings and evaluation; the modules are those of complaints."""
