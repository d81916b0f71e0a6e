using System.Reflection;
using Aspire.Hosting;

namespace Platform.AppHost.Running;

internal static class ErrorSentences
{
    /// <summary>
    /// For errors that the user can fix (<see cref="DistributedApplicationException"/>), prints only the message and exits with 1. If the start is cancelled, exits with 130, as
    /// after SIGINT. Other exceptions keep their stack trace.
    /// </summary>
    public static void Use()
    {
        // Aspire.Hosting.Testing runs Program in the process of the tests, which must not exit.
        if (Assembly.GetEntryAssembly() != typeof(ErrorSentences).Assembly)
        {
            return;
        }

        AppDomain.CurrentDomain.UnhandledException += (_, unhandled) =>
        {
            switch (unhandled.ExceptionObject)
            {
                case OperationCanceledException:
                    Environment.Exit(130);
                    break;
                case DistributedApplicationException error:
                    Console.Error.WriteLine(error.Message);
                    Environment.Exit(1);
                    break;
            }
        };
    }
}
