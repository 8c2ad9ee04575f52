# The environments of all stages in one image, base-all, for stages that are fused into one task. It stands on that of the
# TensorFlow stages, which a node that has run them has already; that one, ml, is where it is in their images.
ARG ML=millrace/base-ml
ARG DATA=millrace/base-data
ARG LIGHT=millrace/base-light
FROM ${DATA} AS data
FROM ${LIGHT} AS light

FROM ${ML}
COPY --from=data /opt/venv /opt/environments/data
COPY --from=light /opt/venv /opt/environments/client
ENV MILLRACE_ENVIRONMENTS=/opt/environments
