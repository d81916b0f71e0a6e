using System.Diagnostics.CodeAnalysis;
using Polly;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>Sends requests through a resilience pipeline.</summary>
[Experimental("EXTEXP0001", UrlFormat = "https://aka.ms/dotnet-extensions-warnings/{0}")]
public class ResilienceHandler : DelegatingHandler
{
    private readonly Func<HttpRequestMessage, ResiliencePipeline<HttpResponseMessage>> _pipelineProvider;

    /// <summary>Creates a handler that asks for a pipeline for each request.</summary>
    public ResilienceHandler(Func<HttpRequestMessage, ResiliencePipeline<HttpResponseMessage>> pipelineProvider)
    {
        ArgumentNullException.ThrowIfNull(pipelineProvider);
        _pipelineProvider = pipelineProvider;
    }

    /// <summary>Creates a handler with one pipeline.</summary>
    public ResilienceHandler(ResiliencePipeline<HttpResponseMessage> pipeline)
    {
        ArgumentNullException.ThrowIfNull(pipeline);
        _pipelineProvider = _ => pipeline;
    }

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var pipeline = _pipelineProvider(request);
        using var scope = new ContextScope(request, cancellationToken);

        var outcome = await pipeline.ExecuteOutcomeAsync(
            static async (context, state) =>
            {
                var message = ContextScope.Enter(context, state.Request);
                try
                {
                    return Outcome.FromResult(await state.Handler.SendInnerAsync(message, context.CancellationToken)
                        .ConfigureAwait(context.ContinueOnCapturedContext));
                }
                catch (Exception exception)
                {
                    return Outcome.FromException<HttpResponseMessage>(exception);
                }
            },
            scope.Context,
            (Handler: this, Request: request)).ConfigureAwait(scope.Context.ContinueOnCapturedContext);

        outcome.ThrowIfException();
        return outcome.Result!;
    }

    /// <inheritdoc/>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var pipeline = _pipelineProvider(request);
        using var scope = new ContextScope(request, cancellationToken);

        return pipeline.Execute(
            static (context, state) => state.Handler.SendInner(ContextScope.Enter(context, state.Request), context.CancellationToken),
            scope.Context,
            (Handler: this, Request: request));
    }

    private Task<HttpResponseMessage> SendInnerAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        base.SendAsync(request, cancellationToken);

    private HttpResponseMessage SendInner(HttpRequestMessage request, CancellationToken cancellationToken) => base.Send(request, cancellationToken);

    /// <summary>Ties a resilience context to a request while it is sent: the caller's own if the request has one, else one from the pool.</summary>
    private readonly struct ContextScope : IDisposable
    {
        private readonly HttpRequestMessage _request;
        private readonly bool _pooled;

        public ContextScope(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var own = request.GetResilienceContext();
            _request = request;
            _pooled = own is null;
            Context = own ?? ResilienceContextPool.Shared.Get(cancellationToken);
            request.SetResilienceContext(Context);
            Context.SetRequestMessage(request);
        }

        public ResilienceContext Context { get; }

        /// <summary>A strategy may have put another request, or another context, in place of those that the execution began with.</summary>
        public static HttpRequestMessage Enter(ResilienceContext context, HttpRequestMessage original)
        {
            var request = context.GetRequestMessage() ?? original;
            request.SetResilienceContext(context);
            return request;
        }

        public void Dispose()
        {
            _request.SetResilienceContext(_pooled ? null : Context);
            if (_pooled)
                ResilienceContextPool.Shared.Return(Context);
        }
    }
}
