using System.Diagnostics.CodeAnalysis;
using Polly;

namespace System.Net.Http
{
    /// <summary>The resilience context of a request.</summary>
    public static class HttpResilienceHttpRequestMessageExtensions
    {
        private static readonly HttpRequestOptionsKey<ResilienceContext?> Key = new("Resilience.Http.ResilienceContext");

        /// <summary>Gets the context that the request is sent with, or null.</summary>
        public static ResilienceContext? GetResilienceContext(this HttpRequestMessage requestMessage)
        {
            ArgumentNullException.ThrowIfNull(requestMessage);
            return requestMessage.Options.TryGetValue(Key, out var context) ? context : null;
        }

        /// <summary>Sets the context that the request is to be sent with.</summary>
        public static void SetResilienceContext(this HttpRequestMessage requestMessage, ResilienceContext? resilienceContext)
        {
            ArgumentNullException.ThrowIfNull(requestMessage);
            requestMessage.Options.Set(Key, resilienceContext);
        }
    }
}

namespace Polly
{
    /// <summary>The request of a resilience context.</summary>
    [Experimental("EXTEXP0001", UrlFormat = "https://aka.ms/dotnet-extensions-warnings/{0}")]
    public static class HttpResilienceContextExtensions
    {
        private static readonly ResiliencePropertyKey<HttpRequestMessage?> Key = new("Resilience.Http.RequestMessage");

        /// <summary>Gets the request that is being sent, or null.</summary>
        public static HttpRequestMessage? GetRequestMessage(this ResilienceContext context)
        {
            ArgumentNullException.ThrowIfNull(context);
            return context.Properties.GetValue(Key, null);
        }

        /// <summary>Sets the request to send.</summary>
        public static void SetRequestMessage(this ResilienceContext context, HttpRequestMessage? requestMessage)
        {
            ArgumentNullException.ThrowIfNull(context);
            context.Properties.Set(Key, requestMessage);
        }
    }
}
